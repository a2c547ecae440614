"""Russian, Polish and Czech."""

# ruff: noqa: RUF001 (the characters are meant)

from transforms.splitter.languages.common import COMPANIES, TITLES
from transforms.splitter.languages.language import Language, words

RUSSIAN = Language(
    code="ru",
    titles=words("""
        г-н г-жа гос проф акад доц д-р инж ген полк кап лейт маршал-н им св свв о прот архиеп еп митр игум
        преп т.е т.к т.н т.о т.ч т е т.наз тн напр см ср букв лат англ нем фр франц итал исп греч рус укр
        польск араб яп кит тур евр др.-греч совр прим род-н ум-н ок прибл ул пр просп пер пл наб бул бульв ш д
        корп стр-н кв пос дер с. г х ст-ца обл р-н окр ред сост пер-н изд отв худ реж муз сл комп зам зав пом
        нач дир мл-н ст-н т.наз. a.k.a ув уважаемый макс абс отн соотв сокр разг перен устар обыч преим гл
        разд подразд дол приб
    """),
    numbered=words("""
        стр с рис табл гл п пп ч т тт ст № вып кн разд илл прил абз род ум тел факс ок янв февр апр авг сент
        окт нояб дек л лл сс д оп
    """),
    closings=words("""
        г в вв до н э р.х тыс млн млрд трлн руб коп долл экз чел шт кг км м см мм га т ц л мл мин сек час
        ч др пр т.д т.п т.дж проч т.ж сб ин пгт ст др.-рус барр кв.м куб м.н.э у.е p.s дж u.s inc co ltd corp
    """),
    finals=words("""
        н.э т.д т.п др пр проч гг мм см км кг мин сек мл руб коп долл тыс млн млрд час экз чел
    """),
    counted=words("""
        глава главы статья статьи раздел часть том пункт подпункт страница рисунок таблица номер этап класс версия
    """),
    joiners=words("и или"),
    unfinished=words("в во на с со к из от для о об у по при за под"),
    starters=words("""
        в во на по с со к ко о об обо от до из у за под над при про для без через между после перед около
        среди против и а но или да же то так как что чтобы если когда где куда откуда почему зачем кто это
        этот эта эти тот та те такой он она оно они я ты мы вы его её ее их мой моя наш наша ваш свой все всё
        весь вся каждый многие некоторые другие один одна одно не ни нет также тоже ещё еще уже только лишь
        даже однако поэтому потом затем теперь сейчас тогда здесь там там-то сегодня вчера завтра был была
        было были есть может можно нужно хотя несмотря согласно кроме вместо благодаря вскоре впоследствии
        позже впервые всего всегда никогда иногда часто обычно именно причём причем итак ведь вот
    """),
    lower_starts=False,
)
POLISH = Language(
    code="pl",
    titles=TITLES
    | words("""
        sygn akt późn paraf nadkom kom
        p pp dr hab prof mgr inż lic doc ks bp abp kard o św śp bł gen płk ppłk mjr kpt por ppor chor
        sierż kpr np m.in tzn tzw tj zob ang niem fr łac gr ros hiszp wł czes ukr jap chiń arab hebr pol ul al
        pl os pow woj gm ok wg dot ob red oprac tłum przeł wyd przyp przew wicedyr dyr
        kier zast sekr właśc dawn zwł jw ww ws ew względ płd płn wsch zach min maks godz lit
        pot prok sędz
    """),
    numbered=words("""
        nr nry s str t tom rozdz art ust pkt par § rys tab ryc tabl zał poz lp tel fax faks zob godz r dz u.s
        l sty lut mar kwi cze lip sie wrz paź lis gru ur zm
    """),
    closings=COMPANIES
    | words("""
        wyr orz im r w tys mln mld zł gr m szt egz m.st sp z o.o s.a s.c itd itp in jr
    """),
    finals=words("itd itp etc kg km cm mm ha n.e p.n.e"),
    common=words("tom mar"),
    counted=words("""
        artykuł rozdział część tom punkt ustęp strona numer etap klasa wersja tabela rysunek
    """),
    joiners=words("i oraz lub albo"),
    unfinished=words("w we na z ze do od o po przy dla"),
    starters=words("""
        w we na z ze do od o po przy przez dla bez nad pod przed za u ku między wśród według podczas mimo
        oprócz i a ale lub albo oraz więc jednak jednakże gdy gdyby kiedy gdzie jak jako jeśli jeżeli że żeby
        aby ponieważ bo choć chociaż to ten ta te ci tego tej tym tych taki taka takie on ona ono oni one ja
        ty my wy jego jej ich mój moja nasz swój się nie tak także też również już jeszcze tylko nawet
        bardzo wszystko wszyscy każdy wiele kilka inne inny żaden potem następnie teraz wtedy tu tam dziś
        dzisiaj wczoraj jutro był była było byli jest są może można trzeba co kto który która które czy
        dlaczego ponadto natomiast zatem wreszcie obecnie później najpierw dlatego
    """),
    ordinals=True,
    lower_starts=False,
)
CZECH = Language(
    code="cs",
    titles=TITLES
    | words("""
        sp zn
        p pí sl mgr ing bc dr rndr mudr judr phdr paeddr mvdr doc prof arch akad gen plk pplk mjr kpt
        npor por sv hr např tzv tj tzn mj srov resp popř příp ev angl něm fr lat řec rus it šp pol slov
        amer něk nám ul cca kol vč red přel zejm kupř konkr původ býv místopř předs řed
        zást čes mor sev již vých záp min max prům odd okr obv
    """),
    numbered=words("""
        usn rozs nař vyhl
        č čís s str sv roč kap obr tab odst písm čl § par tel fax příl pozn dod bod zák sb ročn vyd tř led úno
        bře dub kvě čvn čvc srp zář říj lis pro nar zemř r
    """),
    closings=COMPANIES
    | words("""
        r tis mil mld kč hod min sek m ks př n l kr atd apod aj spol s.r.o a.s o.s
        v.o.s k.s st ml
    """),
    finals=words("atd apod aj etc km kg cm mm ha n.l p.n.l"),
    common=words("pro dub bod"),
    counted=words("""
        článek kapitola část díl bod odstavec strana číslo etapa třída verze tabulka obrázek
    """),
    joiners=words("a i nebo"),
    unfinished=words("v ve na s z ze do od o k ke pro"),
    starters=words("""
        v ve na z ze do od o po při přes pro bez nad pod před za u k ke mezi podle během kvůli díky kromě
        proti s se i a ale nebo či však avšak tedy když kdyby kdy kde jak jako jestli jestliže že aby protože
        neboť ačkoli ačkoliv přestože to ten ta ti ty toto tento tato tyto takový on ona ono oni já my vy jeho
        její jejich můj naše náš svůj ne není také též už již ještě jen jenom pouze dokonce velmi vše všichni
        všechny každý mnoho několik některé jiný jiné žádný potom pak nyní teď tehdy tady tam dnes včera zítra
        byl byla bylo byli je jsou může lze co kdo který která které proč ovšem navíc naopak proto přitom
        nakonec zatím později nejprve
    """),
    ordinals=True,
    lower_starts=False,
)
