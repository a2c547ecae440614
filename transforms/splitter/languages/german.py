"""German."""

from transforms.splitter.languages.common import COMPANIES, TITLES
from transforms.splitter.languages.language import Language, words

GERMAN = Language(
    code="de",
    semicolons=True,
    titles=TITLES
    | words("""
        fa hr hrn fr frl dipl ing dipl.-ing med phil jur rer nat habil mag univ univ.-prof prof hrsg hg ca vgl
        bzw bspw z.b z b d.h d h u.a s.o s.u i.d.r v.a u.u m.e o.g sog resp evtl ggf inkl exkl zzgl abzgl incl
        excl gem lt zw geb gest verh gesch verst ehem ehm ehemal amtl bes insb insbes allg mind max min
        durchschn einschl bayer sächs preuß westf österr schweiz dt frz engl lat griech ital russ span türk
        poln amerik brit röm kath ev hl sel st skt königl kgl kaiserl o.ä i.e z.t z.zt u.ä s.a p.a
        oberstlt hptm generalmaj oblt präs min.-präs geschäftsf stellv vors i.v i.a a.d a.m
        a.d.s
    """),
    numbered=words("""
        abschn slg buchst lit unterabs uabs bgbl rdn var
        s nr nrn abs art kap abb tab bd bde bl aufl jg jh jhd jhdt ziff anm lfd rn rdnr rz fn sp vers v tel
        fax pkt p no vol jan feb febr mär apr jun jul aug sept sep okt nov dez tsd std § ziffer anl beil verf
        zif ausg heft h hs tl
    """),
    closings=COMPANIES
    | words("""
        einl beschl rspr entsch ebd
        usw etc usf ff f str mio mrd mill md n.chr v.chr chr o.a a.a.o k.o e.v o.g ggmbh kg co ag stk stck
        pers min sek wo inh mfg tgl jährl mtl monatl zus versch verw wtl u.v.m uvm u.v.a uva u.a.m
    """),
    finals=words("etc usw usf uvm u.v.m u.a.m"),
    common=words("art tab vers ziffer heft"),
    counted=words("""
        artikel paragraph abschnitt kapitel teil seite band nummer absatz satz anlage abbildung tabelle stufe phase
        klasse schritt tag woche platz version buch ziffer in um auf ist war die das
    """),
    joiners=words("und oder sowie bzw"),
    unfinished=words("der dem den des im am vom zum zur beim von bis"),
    starters=words("""
        der die das den dem des ein eine einen einem einer eines er sie es wir ihr ich du man dies diese
        dieser dieses diesen diesem jene jener jenes in im an am auf aus bei beim mit nach von vom vor zu zum
        zur über unter durch für gegen ohne um seit während wegen trotz zwischen bis ab und oder aber doch
        denn sondern wenn als ob weil da dass daß obwohl nachdem bevor damit so auch noch nur schon sehr nun
        dann danach dort hier heute gestern morgen jetzt was wer wie wo warum wann welche welcher welches mein
        meine sein seine ihre ihren ihrem unser unsere kein keine alle alles viele einige mehrere beide jeder
        jede jedes nicht nichts nie immer leider zudem außerdem jedoch allerdings dabei dafür daher darum
        deshalb trotzdem zwar ebenso insgesamt ist sind war waren wird werden wurde wurden hat haben hatte
        kann können soll sollte muss darf mehr weitere obgleich sowohl weder ferner später zuletzt schließlich
    """),
    suffixes=("str", "nr"),
    ordinals=True,
    ordinal_leads=words("""
        am im zum vom beim der die das den dem des bis ab seit zur jeder jedem jeden ein eine einem einer
        einen ihr ihre ihrem ihren sein seine seinem seinen mein meine meinem und oder als erst sowie unser
        unseren dieser diesem diesen ihrer seiner nach vor
    """),
    ordinal_nouns=words("""
        januar jänner februar feber märz april mai juni juli august september oktober november dezember
        jahrhundert jahrhunderts jahrtausend jahrtausends stock obergeschoss etage platz klasse mal geburtstag
        todestag lebensjahr spieltag runde auflage bundesliga liga weltkrieg weltkriegs weltkrieges kapitel
        minute tag woche jahrestag januars jan feb mär apr jun jul aug sep sept okt nov dez armee division
        arrondissement bezirk internationale internationalen
    """),
)
