"""French, Spanish, Portuguese, Italian and Romanian."""

from transforms.splitter.languages.common import COMPANIES, TITLES
from transforms.splitter.languages.language import Language, words

FRENCH = Language(
    code="fr",
    semicolons=True,
    titles=TITLES
    | words("""
        m mm mme mmes mlle mlles mgr me pr dr drs vve cdt cne lt col gal adj av ap env cf c-à-d p.-ex ex p.ex
        c.-à-d i.e e.g s.m s.a.s s.s r.p fr ste sts stes vs dir éd coll trad préf ill inéd hab resp ingén bd
        ld boul
    """),
    numbered=words("""
        cass civ crim req cons al pourv concl rec obs d.p
        p pp n no nº n° nos art fig tab vol t chap ch sect al par § éq ann tél fax bull réf ms fol f livr liv
        janv févr avr juil sept oct nov déc lat long alt
    """),
    closings=COMPANIES
    | words("""
        soc com ass plén gaz pal préc trib corr pén proc const comm chron somm jur adm lebon fasc spéc trim
        s.a.r.l s.n.c.f ibid op cit sq suiv éd hab km h min env
    """),
    finals=words("etc j.-c apr.j.-c av.j.-c"),
    common=words("app art par long ill"),
    counted=words("""
        article articles chapitre section titre livre partie page paragraphe alinéa annexe figure tableau numéro étape
        phase niveau classe tome version point est
    """),
    joiners=words("et ou &"),
    unfinished=words("le la les un une des du de au aux à en dans par sur sous entre avec sans selon"),
    starters=words("""
        le la les l un une des du de d ce cet cette ces il elle ils elles on nous vous je tu j c ça cela ceci
        qui que qu quoi quel quelle quels quelles quand comment pourquoi où dans en à au aux avec sans sous
        sur par pour vers chez entre depuis pendant avant après dès selon malgré contre lors parmi et ou mais
        or ni car donc si comme lorsque puisque quoique bien alors ainsi aussi puis ensuite enfin cependant
        toutefois néanmoins pourtant toujours jamais parfois souvent aujourd'hui hier demain ici là son sa ses
        leur leurs mon ma mes notre nos votre vos tout tous toute toutes chaque plusieurs certains certaines
        quelques aucun aucune beaucoup plus très ne n s y c'est il's d'après l'on qu'il qu'elle n'est est sont
        était a ont fut grâce afin outre
    """),
)
SPANISH = Language(
    code="es",
    semicolons=True,
    titles=TITLES
    | words("""
        sr sra sres sras srta srtas d dª dña dr dra drs dres prof profa ing lic arq abog fr mons pbro rvdo rdo
        excmo excma ilmo ilma gral cnel tte cap cmdte sto sta av avda avd pje ctra urb ej p.ej p vs cf fdo
        atte aprox ca hnos pdte pres dir admón dpto depto prov mpio esp ntra ntro s.m s.s s.e ud uds vd
        vds nac n
    """),
    numbered=words("""
        aptdo ptdo disp disps lit exp bgbl ref
        apdos rec f ff fj ffjj r.d stc sts
        pág págs pp p núm núms nº n° no nro nros art arts fig figs cap caps vol vols t tomo tel tels fax párr
        ed lám c cc sec ap apdo ene feb mar abr may jun jul ago sept sep oct nov dic lat long
    """),
    closings=COMPANIES
    | words("""
        ss sgtes cód const civ pen adm trib jur cas coord ord vid bol of
        ee.uu ee uu s.a s.l s.r.l s.a.c.v r.m cía cia etc km kg a.m p.m id ibid op cit aa.vv jj.oo ff.aa cc.oo
        rr.hh c.f u.d
    """),
    finals=words("etc a.m p.m a.c d.c a.j.c d.j.c"),
    time_leads=words("a ante antes cerca desde después el entre hacia hasta la las los para sobre tras"),
    common=words("no mar sec tomo"),
    counted=words("""
        artículo artículos articulo capítulo capitulo sección título titulo libro parte página párrafo anexo figura
        tabla número paso fase nivel clase tomo versión punto apartado inciso es
    """),
    joiners=words("y e o u &"),
    unfinished=words("el la los las un una unos unas de del al a en por para con sin según ante"),
    starters=words("""
        el la los las lo un una unos unas este esta estos estas ese esa esos esas eso esto aquel aquella él
        ella ellos ellas yo tú usted ustedes nosotros se le les me te nos su sus mi mis tu tus nuestro nuestra
        en a al de del con sin por para sobre entre hasta desde hacia según durante ante bajo tras contra y e
        o u pero sino ni que si como cuando donde aunque porque pues mientras así también tampoco no sí ya aún
        todavía muy más menos tan tanto todo toda todos todas cada varios varias algunos algunas muchos muchas
        otro otra otros otras ningún ninguna después antes luego entonces ahora hoy ayer mañana aquí allí
        además embargo finalmente posteriormente actualmente es son era fue fueron ha han había hay está están
        tiene qué quién cuál cómo cuándo dónde cuánto dicho dicha ambos ambas tal
    """),
)
PORTUGUESE = Language(
    code="pt",
    semicolons=True,
    headings=True,
    quote_after_colon=True,
    titles=TITLES
    | words("""
        sr(a) dr(a) exmo(a) bel
        rel des apte apdo adv j
        sr sra srs sras srta d dr dra drs dras prof profa profª eng engª arq exmo exma ilmo ilma rev pe fr cel
        cap ten sgt gen maj cmte des min dep sen gov pres av r pça trav est rod ex p.ex vs cf aprox ca
        sto sta s v.ex v.exa v.sa dir depto dept alm brig
    """),
    numbered=words("""
        dec exp
        dj dje
        pag ns
        fls fl proc inc arts súm v c/c ap resp agrg
        pág págs p pp n nº n° no nr núm art arts fig figs cap caps vol vols tel tels fax cx ap apto ed
        par § jan fev mar abr mai jun jul ago set out nov dez séc obs km
    """),
    closings=COMPANIES
    | words("""
        cív crim câm rext cód const fed coord ss segs julg publ redaç rec s.a ltda cia etc eua e.u.a id ibid op
        cit u.s r.u m.m h hs min seg
    """),
    finals=words("etc a.m p.m a.c d.c min seg km kg"),
    time_leads=words("a antes ao aos após as até às cerca depois desde entre o os para pelas por"),
    common=words("no mar out par dez set"),
    counted=words("""
        artigo artigos capítulo secção seção título livro parte página parágrafo anexo figura tabela número passo fase
        nível classe tomo versão ponto alínea inciso é
    """),
    joiners=words("e ou &"),
    unfinished=words("""
        o a os as um uma de do da dos das no na nos nas ao à aos às em por pelo pela pelos pelas para com sem
    """),
    starters=words("""
        o a os as um uma uns umas este esta estes estas esse essa esses essas isso isto aquele aquela ele ela
        eles elas eu tu você vocês nós se lhe me te nos seu sua seus suas meu minha nosso nossa em no na nas
        de do da dos das ao à aos às com sem por pelo pela para sobre entre até desde segundo durante após
        ante contra sob e ou mas nem que como quando onde embora porque pois enquanto assim também não sim já
        ainda muito mais menos tão tanto todo toda todos todas cada vários várias alguns algumas muitos muitas
        outro outra outros outras nenhum nenhuma depois antes então agora hoje ontem amanhã aqui ali lá além
        porém contudo entretanto finalmente é são era foi foram há tem têm está estão quem qual quais quanto
        ambos tal
    """),
)
ITALIAN = Language(
    code="it",
    semicolons=True,
    titles=TITLES
    | words("""
        ss
        gazz uff seg rappr patr ric lgs
        univ sig sigg sig.ra sig.na sigra sigg.re dott dott.ssa dottssa prof prof.ssa profssa ing avv arch
        geom rag on sen mons don fra s ss gen col cap magg ten cav comm uff p.es es cfr cf v ca circa
        spett egr gent gent.mo ill.mo rev l.go p.zza v.le c.so v.lo loc fraz dir pres min sottosegr
        amm aut vs vd
    """),
    numbered=words("""
        act dec decr reg prot circ
        doc part disp
        consid cons cpv fr frs rep gazz uff abs lit seg segg cost sent ord disp att dtf rdat
        p pp pag pagg n nn nr num n° nº art artt fig figg cap capp vol voll tav tavv tab sez tel fax lett par
        co § cfr all c gen feb mar apr mag giu lug ago set sett ott nov dic sec lat long
    """),
    closings=COMPANIES
    | words("""
        cass civ pen trib racc conv mod succ lav prel trans giur giust mass amm coord vcost cons s.p.a s.r.l
        s.n.c s.a.s ibid op cit id u.s r.d d.l d.lgs d.p.r l.r c.c c.p c.p.c c.p.p
    """),
    finals=words("etc ecc a.m p.m a.c d.c"),
    time_leads=words("a alle circa da dalle dopo dalla entro fino fra i il le per prima tra verso"),
    common=words("app foro don fra all par mar set"),
    counted=words("""
        articolo articoli capitolo sezione titolo libro parte pagina paragrafo comma allegato figura tabella numero
        passo fase livello classe tomo versione punto lettera capo è
    """),
    joiners=words("e ed o od &"),
    unfinished=words("""
        il lo la i gli le un una uno di del della dei degli delle dello da dal dalla dai dagli dalle a al alla ai agli
        alle allo in nel nella nei nelle con sul sulla per tra fra
    """),
    starters=words("""
        il lo la i gli le l un uno una questo questa questi queste quello quella quelli quelle ciò egli ella
        esso essa essi esse lui lei loro io tu noi voi si ci vi mi ti ne suo sua suoi sue mio mia nostro
        nostra in nel nella nei negli nelle a al alla ai agli alle di del della dei degli delle dello da dal
        dalla dai dagli dalle con senza per su sul sulla tra fra fino verso secondo durante dopo prima contro
        e ed o ma né che se come quando dove mentre perché poiché quindi così anche non già ancora molto più
        meno tanto tutto tutta tutti tutte ogni alcuni alcune molti molte altri altre nessun nessuno poi
        allora adesso ora oggi ieri domani qui là inoltre tuttavia però infine infatti dunque è sono era fu
        furono ha hanno aveva c'è chi quale quali quanto cosa nonostante oltre entrambi
    """),
)
ROMANIAN = Language(
    code="ro",
    semicolons=True,
    titles=TITLES
    | words("""
        dl dna dra d-na d-l d-lui d-ra d-nei dlui dnei dr prof conf ing arh av ec acad gen col lt cpt mr maj plt
        sg sf pr pș mons al gh șt ștef const vs cf v ex p.ex i.e aprox cca ca jud com mun or str bd
        b-dul șos cal dir pres adj asist univ lect red coord trad ed subl
    """),
    numbered=words("""
        nr art alin lit pct pag p pp fig tab vol cap par sec secț tel fax ap bl sc et anex poz cod ian feb febr mar
        apr mai iun iul aug sept sep oct nov noi dec § reg ord hot dec t ș
    """),
    closings=COMPANIES
    | words("""
        c.civ c.pen c.proc.civ m.of s.a s.r.l s.c a.c r.a o.n.u s.u.a u.e b.n.r ș.a ș.a.m.d etc ibid id op cit
        loc km kg min
    """),
    finals=words("etc ș.a ș.a.m.d a.m p.m î.hr d.hr"),
    common=words("gen loc art par mai ed noi et cod cap cal or ca sec vol mar"),
    counted=words("""
        articolul articolului articol capitolul secțiunea titlul cartea partea pagina paragraful alineatul punctul
        punctului litera anexa figura tabelul numărul faza etapa nivelul clasa versiunea este
    """),
    joiners=words("și sau ori"),
    unfinished=words("un o unei unui de la cu pe în din pentru prin"),
    starters=words("""
        un o unei unui niște acest această acești aceste acesta aceasta aceștia acestea acel acea acele acei el ea ei
        ele eu tu noi voi se îl îi le mă te ne vă își în din de la cu fără pe pentru prin peste sub până spre după
        înainte între contra despre și sau dar iar însă ci ori nici că dacă când unde cum deși pentru-că fiindcă
        deoarece astfel așa nu da mai foarte prea tot toată toți toate fiecare unii unele mulți multe alți alte alt
        altă nimeni nimic apoi atunci acum azi astăzi ieri mâine aici acolo totuși totodată este e era sunt erau a au
        am ai fost va vor ar ce cine care cât câți câte de-a într-un într-o dintre deci doar chiar abia
    """),
)
