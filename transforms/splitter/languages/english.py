"""English."""

from transforms.splitter.languages.language import Language, words

ENGLISH = Language(
    code="en",
    titles=words("""
        &c wm geo chas thos jas benj edw robt fed.r
        mr mrs ms mx messrs mmes dr drs prof profs rev revs fr hon gen brig maj col lt cpl sgt capt cmdr cdr
        comdr cpt pfc pvt adm radm vadm ens spc ssgt sfc msgt gov govs lieut sen sens rep reps pres supt insp
        det amb atty attys mme mlle ste pte bp abp msgr dcn asst assoc dep sec-gen e.g eg i.e cf viz vs v
        approx ca circa esp incl resp c.f op loc w w/o mister ald cllr rt ven p.s p.p.s ps
    """),
    numbered=words("""
        how pick met black
        pub.l pub.l.no pub.l.nos tit subch amdt cong.rec f.supp u.s.c.app vet wall
        cush wheat cranch dall pet bl barb mees rep penn int s.ct l.ed u.l.rev l.rev
        subd subds subsec subsecs subpara cmt cmts thm thms lem cor def defn alg prob dkt ann annex append p
        pp no nos fig figs sec secs sect sects ch chs chap chaps art arts vol vols para paras par pars pt pts
        eq eqs eqn eqns tab tabs ex exh exhs exs app apps cl cls n° nº № n nn r rr rule reg regs div ln ver ed
        eds ser tit stat stats supp supps doc docs ecf ext tel fax ph rm ste apt nr nbr num bk bks col cols pg
        pgs ref refs jan feb mar apr jun jul aug sep sept oct nov dec sched amend amends prop props cong sess
    """),
    closings=words("""
        com'n subcomm adm'r adm'x adver agric atl bhd cas cmty coll comm'r commc'n comput consol constr cont'l corr
        distrib educ elec emp'r emp't eng'r entm't env't envtl ex'r ex'x exam'r exch expl fed'n fid gend glob grp
        guar hous indem indep inv'r liab litig mach maint mech mem'l mfr mkt mktg mortg mut p'ship pac pers pharm
        prof'l publ'g publ'n r.r reg'l reprod s'holder sav sch sec'y serv soc'y telecomm tpk transcon transp unif vill
        haw harv colum rts rec rptr unrep contemp chi jur balt abb prac jud empl fam intell arb resol urb legis phila
        commw cts trib surr juv inv ne nw se prot res ret sol exp treas ent cont
        st mt mts ft inc corp co cos ltd plc llc llp lp bros jr sr esq dept depts univ assn assns assoc assocs
        intl int'l nat'l natl gov't govt dep't ass'n comm'n comm mfg mgmt hosp inst acad fed fedn org dist div
        ave blvd rd hwy pkwy ln ct cir sq bldg blg al u.s u.k u.n e.u u.s.a u.s.c u.s.s.r d.c n.y l.a n.j n.h
        n.c s.c n.d s.d n.m r.i w.va p.r b.c a.d b.c.e c.e ph.d m.d d.d.s j.d b.a m.a b.s m.s m.b.a d.phil r.n
        c.p.a d.o ll.b ll.m ala ariz ark cal calif colo conn del fla ga ill ind kan ky la md mass mich minn
        miss mo mont neb nev okla ore pa tenn tex va vt wash wis wyo ont que temp thur thurs fri sat ed eds
        trans transl ff seq et id supra rev'd aff'd cert den'd ed.d op cit ibid evid civ proc crim bankr admin
        const cf auth sup super app appx eng'g sys tech techs servs svcs ins indus indust ctr ctrs assur bd
        cty cnty twp mun muni rys ry rr s.ct l.ed f.supp mem pub publ pubs ann adv avg max min misc hist lit
        phil psych sci soc econ chem phys biol med math j jour rev q lb oz tsp tbsp yd yds mi cu gal gals qt
        pt hr sec wk yr dir mgr vp gen rel ltr encl attn re cc bcc pty pvt gmbh ag s.a n.v b.v a.g no.s n.b
        r.i.p r.s.v.p a.k.a aka f.k.a d.b.a t/a c/o nasdaq int prelim tempo
    """),
    finals=words("""
        mon tue tues wed thu thur thurs fri etc ect a.m p.m mm cm km kg lbs yds hrs secs mins wks mos yrs mph
    """),
    common=words(
        """
        wall wheat pet barb tit
        how pick met black
        no art in so me is do go the on at us ad add all ask bad bed big bus but can car cat cut day am ill
        alt cent dig enter equip merch auto broad condo coop exec fin found imp info lab metro rehab rest util dev bull
        com comp prod emp disc
        miss wash mass rule doc docs ref math mar may sun sat ran mat super app apps max
    """
    ),
    counted=words("""
        section sections chapter chapters article articles clause paragraph subparagraph subsection rule page pages
        figure table appendix exhibit phase level stage grade volume verse schedule annex amendment at in by to than
        from with is was were
    """),
    joiners=words("and or & nor"),
    unfinished=words("a an the of"),
    starters=words("""
        the a an this that these those he she it they we you i his her its their our your my there here in on
        at by for from with without within of to into under over after before during since until while when
        where why how what who whom whose which if unless although though because as so then thus hence
        therefore however moreover furthermore nevertheless nonetheless meanwhile instead besides also
        additionally and but or nor yet not no yes some any many most few several all both each every either
        neither one none another such other others once twice only even still again now today tomorrow
        yesterday tonight is are was were do does did has have had can could will would shall should may might
        must let please according despite given perhaps maybe indeed rather finally first second third later
        soon next last nobody everybody everyone someone anyone anybody nothing everything something anything
        it's that's there's he's she's i'm i've i'll i'd we're we've we'll you're you've they're they've
        what's who's don't didn't doesn't isn't can't won't let's oh well ok okay thanks hi hello dear sure
        between among through like unlike upon see based using whether whatever whenever wherever
    """),
    time_leads=words("""
        a about after an and around approximately as at before between but by circa during each every exactly for from
        her his its just my next of on only or our past precisely shortly since so that the their this through till to
        toward towards until when while with your
    """),
    after_finals=words("""
        jan feb mar apr jun jul aug sep sept oct nov dec night morning afternoon evening monday tuesday
        wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun est edt cst cdt
        mst mdt pst pdt gmt utc bst cet eastern central mountain pacific et ct pt january february march april
        june july august september october november december
    """),
    short_words=words("""
        a i am an as at be by do go he hi if in is it me my no of oh ok on or so to up us we ya yo act add age
        ago aid aim air all and any are arm art ask ate bad bag ban bar bat bay bed bee bet bid big bit box
        boy bug bus but buy bye cab can cap car cat cop cow cry cup cut dad day did die dig dim dip dna dog
        dry due dvd eat egg ego end era eve eye fan far fat fee few fit fix fly fog for fox fun fur gap gas
        gay get god got gun gut guy gym had has hat her hey hid him hip his hit hot how hug ice its jam jar
        jaw jet job joy key kid lab lap law lay led leg let lid lie lip log lol lot low mad man map mat may
        men met mix mob mom mud net new nor not now nut odd off oil old omg one our out owe own pan pay pen
        per pet pie pig pin pit pop pot put ran raw red rid rip row run sad sat saw say sea see set sex she
        shy sin sit six ski sky son spy sun tax tea ten the tie tip toe ton too top toy try two use van via
        war was way web wet who why win wit won wow yes yet you zoo thx pls btw lmao wtf tho pic pal pub rat
        rug sub sum tag tap
    """),
    speech=words("""
        said asked replied cried answered whispered shouted exclaimed muttered murmured added called demanded
        inquired enquired repeated remarked observed returned continued began screamed yelled wondered says
        asks snapped sighed laughed growled gasped breathed interrupted ejaculated thought mumbled sobbed
    """),
    shouts=words("yahoo jeopardy joomla"),
)
