"""Dutch."""

from transforms.splitter.languages.common import COMPANIES, TITLES
from transforms.splitter.languages.language import Language, words

DUTCH = Language(
    code="nl",
    headings=True,
    titles=TITLES
    | words("""
        rb ktr concl
        dhr mevr mej mw ir ing drs mr prof ds jhr jkvr kol kapt lt maj luit gen min h.k.h z.k.h z.m h.m z.e
        wed fam past bijv bv b.v.w.z o.a d.w.z i.p.v t.o.v m.b.t t.a.v i.v.m n.a.v o.l.v i.s.m t.b.v m.b.v
        a.u.b z.g zgn resp ca circa incl excl cfr vgl nl m.a.w o.m t.g.v t.w t.n.v i.t.t m.u.v v.d v.h a/d v/d
        geb overl echtg gest dir zn o.i t.e.m d.d e.a.w a.d i.c i.h.b i.o m.i m.n n.l bijz oorspr voorm zogen
        gebr gem brab
    """),
    numbered=words("""
        nr nrs no p pag blz hfst art afb fig tab jg deel dl vol bd par tel fax ed red aant bijl st § lid jan
        febr feb mrt apr jun jul aug sept sep okt nov dec
    """),
    closings=COMPANIES
    | words("""
        e.a e.d a.d ff mln mld v.chr n.chr chr jl ll m.m sr jr str pl ln c.s v.o.f vof b.v n.v v.z.w
        vzw
    """),
    finals=words("etc enz e.d e.a m.m"),
    common=words("par lid deel"),
    suffixes=("str",),
    counted=words("""
        artikel hoofdstuk deel pagina nummer lid afdeling paragraaf figuur tabel stap fase klas versie bijlage in van op
        bij tot met is was
    """),
    joiners=words("en of"),
    unfinished=words("de een der des"),
    starters=words("""
        de het een deze dit die dat hij zij ze wij we ik je jij jullie u men er hier daar in op aan bij met
        van voor naar uit over onder tot na door tegen tijdens sinds zonder tussen volgens vanaf wegens en of
        maar want dus als toen wanneer terwijl omdat hoewel nadat voordat zodat indien ook nog niet wel al
        alle alles veel vele sommige enkele beide elke ieder iedere geen mijn zijn haar hun ons onze uw wat
        wie waar waarom hoe welke welk dan nu later vandaag morgen gisteren daarna daarom daarnaast echter
        toch verder bovendien tevens vervolgens uiteindelijk is was waren wordt werd werden heeft had kan zal
        zou moet mag zo zelfs eerst soms vaak
    """),
)
