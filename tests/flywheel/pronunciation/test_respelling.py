"""Merriam-Webster's respellings as IPA: every glyph of the notation, however it is encoded."""

import unicodedata

import pytest

from flywheel.pronunciation.ipa import normalised_ipa
from flywheel.pronunciation.respelling import (
    GLYPHS,
    NEAREST,
    RespellingError,
    read_respelling,
    whole_variants,
)

CASES = [
    # drugs
    ("acetaminophen", "ə-ˌsēt-ə-ˈmin-ə-fən", "əˌsitəˈmɪnəfən"),
    ("amoxicillin", "ə-ˌmäk-sə-ˈsil-ən", "əˌmɑksəˈsɪlən"),
    ("aspirin", "ˈas-p(ə-)rən", "ˈæspɹən"),
    ("atorvastatin", "ə-ˌtȯr-və-ˈstat-ᵊn", "əˌtɔɹvəˈstætən"),
    ("cefazolin", "ˌsef-ə-ˈzō-lən", "ˌsɛfəˈzoʊlən"),
    ("chlorpromazine", "klōr-ˈpräm-ə-ˌzēn", "klɔɹˈpɹɑməˌzin"),
    ("digoxin", "dij-ˈäk-sən, dig-", "dɪdʒˈɑksən"),
    ("diphenhydramine", "ˌdī-ˌfen-ˈhī-drə-ˌmēn", "ˌdaɪˌfɛnˈhaɪdɹəˌmin"),
    ("dulaglutide", "ˌdü-lə-ˈglü-ˌtīd", "ˌduləˈɡluˌtaɪd"),
    ("duloxetine", "dü-ˈläk-sə-ˌtēn", "duˈlɑksəˌtin"),
    ("emtricitabine", "ˌem-trə-ˈsī-tə-ˌbēn", "ˌɛmtɹəˈsaɪtəˌbin"),
    ("esomeprazole", "ˌes-ō-ˈmep-rə-ˌzōl, -ˈmē-prə-, -ˌzȯl", "ˌɛsoʊˈmɛpɹəˌzoʊl"),
    ("etanercept", "i-ˈtan-ər-ˌsept", "ɪˈtænɚˌsɛpt"),
    ("famotidine", "fə-ˈmōt-ə-ˌdīn, -ˌdēn", "fəˈmoʊtəˌdaɪn"),
    ("fluoxetine", "ˌflü-ˈäk-sə-ˌtēn", "ˌfluˈɑksəˌtin"),
    ("fluticasone", "flü-ˈtik-ə-ˌsōn, -ˌzōn", "fluˈtɪkəˌsoʊn"),
    ("furosemide", "fyu̇-ˈrō-sə-ˌmīd", "fjʊˈɹoʊsəˌmaɪd"),
    ("heparin", "ˈhep-ə-rən", "ˈhɛpəɹən"),
    ("ibuprofen", "ˌī-byu̇-ˈprō-fən", "ˌaɪbjʊˈpɹoʊfən"),
    ("insulin", "ˈin(t)-s(ə-)lən", "ˈɪnslən"),
    ("ketamine", "ˈkēt-ə-ˌmēn", "ˈkitəˌmin"),
    ("lisinopril", "lī-ˈsin-ə-(ˌ)pril", "laɪˈsɪnəpɹɪl"),
    ("losartan", "lō-ˈsär-ˌtan", "loʊˈsɑɹˌtæn"),
    ("metoprolol", "mə-ˈtō-prə-ˌlȯl", "məˈtoʊpɹəˌlɔl"),
    ("morphine", "ˈmȯr-ˌfēn", "ˈmɔɹˌfin"),
    ("nitrous oxide", "ˈnī-trəs ˈäk-ˌsīd", "ˈnaɪtɹəs ˈɑkˌsaɪd"),
    ("ondansetron", "än-ˈdan-sə-ˌträn", "ɑnˈdænsəˌtɹɑn"),
    ("tacrolimus", "ˌtak-rō-ˈlī-məs", "ˌtækɹoʊˈlaɪməs"),
    ("theophylline", "thē-ˈäf-ə-lən", "θiˈɑfələn"),
    ("thiamine", "ˈthī-ə-mən", "ˈθaɪəmən"),
    ("vancomycin", "ˌvaŋ-kə-ˈmīs-ᵊn", "ˌvæŋkəˈmaɪsən"),
    ("warfarin", "ˈwȯr-fə-rən", "ˈwɔɹfəɹən"),
    # procedures
    ("bronchoscopy", "brän-ˈkäs-kə-pē, bräŋ-", "bɹɑnˈkɑskəpi"),
    ("chemotherapy", "ˌkē-mō-ˈther-ə-pē", "ˌkimoʊˈθɛɹəpi"),
    ("cholecystectomy", "ˌkō-lə-(ˌ)sis-ˈtek-tə-mē", "ˌkoʊləsɪsˈtɛktəmi"),
    ("suture", "ˈsü-chər", "ˈsutʃɚ"),
    ("thoracentesis", "ˌthōr-ə-sen-ˈtē-səs", "ˌθɔɹəsɛnˈtisəs"),
    ("tour of the ward", "ˈtür əv t͟hə ˈwȯrd", "ˈtʊɹ əv ðə ˈwɔɹd"),
    ("tracheostomy", "ˌtrā-kē-ˈäs-tə-mē", "ˌtɹeɪkiˈɑstəmi"),
    # anatomy
    ("duodenum", "ˌd(y)ü-ə-ˈdē-nəm", "ˌduəˈdinəm"),
    ("ear", "ˈēr", "ˈɪɹ"),
    ("femur", "ˈfē-mər", "ˈfimɚ"),
    ("knee jerk", "ˈnē ˈjərk", "ˈni ˈdʒɝk"),
    ("knock-knee", "ˈnäk-ˈnē, -ˌnē", "ˌnɑkˈni"),
    ("lung", "ˈləŋ", "ˈlʌŋ"),
    ("mediastinum", "ˌmēd-ē-ə-ˈstī-nəm", "ˌmidiəˈstaɪnəm"),
    ("mouth", "ˈmau̇th", "ˈmaʊθ"),
    ("nerve", "ˈnərv", "ˈnɝv"),
    ("neural", "ˈn(y)u̇r-əl", "ˈnʊɹəl"),
    ("thyroid", "ˈthī-ˌrȯid", "ˈθaɪˌɹɔɪd"),
    ("uterus", "ˈyüt-ə-rəs", "ˈjutəɹəs"),
    ("vertebra", "ˈvərt-ə-brə", "ˈvɝtəbɹə"),
    # conditions and signs
    ("abscess", "ˈab-ˌses", "ˈæbˌsɛs"),
    ("asthma", "ˈaz-mə", "ˈæzmə"),
    ("bartonella", "ˌbärt-ᵊn-ˈel-ə", "ˌbɑɹtənˈɛlə"),
    ("breathing", "ˈbrē-t͟hiŋ", "ˈbɹiðɪŋ"),
    ("infarction", "in-ˈfärk-shən", "ɪnˈfɑɹkʃən"),
    ("jaundice", "ˈjȯn-dəs, ˈjän-", "ˈdʒɔndəs"),
    ("lesion", "ˈlē-zhən", "ˈliʒən"),
    ("murmur", "ˈmə(r)-mər", "ˈmɝmɚ"),
    ("pulse", "ˈpəls", "ˈpʌls"),
    ("response", "ri-ˈspän(t)s", "ɹɪˈspɑns"),
    ("seizure", "ˈsē-zhər", "ˈsiʒɚ"),
    ("senile", "ˈsēn-ˌīl also ˈsen-", "ˈsinˌaɪl"),
    ("shock", "ˈshäk", "ˈʃɑk"),
    ("umbilicus", "ˌəm-ˈbil-i-kəs; ˌəm-bə-ˈlī-", "ˌʌmˈbɪlɪkəs"),
    ("wheeze", "ˈ(h)wēz", "ˈwiz"),
    ("whey", "ˈhwā", "ˈweɪ"),
    ("wound", "ˈwünd", "ˈwund"),
    # units and roles
    ("care", "ˈkār", "ˈkɛɹ"),
    ("curie", "ˈkyu̇(ə)r-(ˌ)ē, kyu̇-ˈrē", "ˈkjʊɹi"),
    ("doctor", "ˈdäk·tər", "ˈdɑktɚ"),
    ("grasshopper", "ˈgras-ˌhäp-ər", "ˈɡɹæsˌhɑpɚ"),
    ("knighthood", "ˈnīt-ˌhu̇d", "ˈnaɪtˌhʊd"),
    # sounds that English lacks
    ("guillain", "gē-ˈyaⁿ", "ɡiˈjæn"),
    ("castaigne", "käs-ˈtenʸ", "kɑsˈtɛnj"),
    ("rorschach", "ˈrōr-ˌshäk̟", "ˈɹɔɹˌʃɑk"),
    ("loeffler", "ˈlœf-lər", "ˈlʌflɚ"),
    ("koehler", "ˈkœ̄-lər", "ˈkɝlɚ"),
    ("mueller", "ˈmuel-ər", "ˈmʊlɚ"),
    ("the curies", "kᵫ̅-rē", "kuɹi"),
    ("tache", "ˈtȧsh", "ˈtɑʃ"),
]  # fmt: skip


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("word", "respelling", "ipa"), CASES, ids=[case[0] for case in CASES])
def test_a_respelling_becomes_ipa(word: str, respelling: str, ipa: str, form: str) -> None:
    written = unicodedata.normalize(form, respelling)  # type: ignore[arg-type]
    reading = read_respelling(whole_variants(written)[0])
    assert reading.ipa == ipa
    assert normalised_ipa(reading.ipa) == ipa  # all of it is of the project's phonemes


def test_there_are_sixty_cases_and_each_is_of_another_word() -> None:
    assert len({word for word, _respelling, _ipa in CASES}) == len(CASES) >= 60


# What the key of the notation lists, whether or not it needs a line of its own in the table.
NOTATION = (
    "ə ˈə ˌə ᵊ ər ˈər ˌər a ā ä är au̇ b ch d e ē er f g h hw i ī ir j k k̟ l m n ⁿ ŋ ō ȯ œ œ̄ ȯi ȯr p r s sh t th t͟h ü "
    "u̇ u̇r ue ue̅ v w y ʸ yü yu̇ z zh"
)


@pytest.mark.parametrize("glyph", sorted(GLYPHS))
def test_every_glyph_of_the_table_is_in_a_case(glyph: str) -> None:
    assert glyph in seen_in_cases()


@pytest.mark.parametrize("glyph", NOTATION.split(" "))
def test_every_glyph_of_the_notation_is_read(glyph: str) -> None:
    assert read_respelling(glyph).ipa


def seen_in_cases() -> set[str]:
    """The glyphs of the table that reading the cases needs: a case cannot be read without those it has."""
    longest = sorted(GLYPHS, key=len, reverse=True)
    seen = set()
    for _word, respelling, _ipa in CASES:
        text = unicodedata.normalize("NFD", respelling).replace("ᵫ", "ue").replace("(r)", "r")
        while text:
            glyph = next((each for each in longest if text.startswith(each)), text[0])
            seen.add(glyph)
            text = text.removeprefix(glyph)
    return seen


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("brēt\u035fh", "brēt\u0332h\u0332", id="th underlined letter by letter"),
        pytest.param("brēt\u035fh", "brēt\u0332h", id="t underlined"),
        pytest.param("brēt\u035fh", "brēth\u0332", id="h underlined"),
        pytest.param("brēt\u035fh", "brē\u1e6f\u1e96", id="composed letters with a line below"),
        pytest.param("brēt\u035fh", "brēth\u0338", id="th struck through"),
        pytest.param("läk\u031f", "läk\u0332", id="k underlined"),
        pytest.param("läk\u031f", "läk\u0331", id="k with a macron below"),
        pytest.param("kœ\u0304", "kœ\u0305", id="overline for macron"),
        pytest.param("rue\u0305", "rᵫ\u0304", id="ue in one letter"),
        pytest.param("rue\u0305", "ru\u0305e\u0305", id="ue overlined letter by letter"),
        pytest.param("vaⁿ", "vaᴺ", id="raised capital n"),
        pytest.param("sȯ", "so\u0307", id="o and a combining dot"),
        pytest.param("nēd-ᵊl", "nēd\u2011ᵊl", id="hyphen that does not break"),
        pytest.param("nēd-ᵊl", "\\nēd·ᵊl\\", id="dot, between backslashes"),
        pytest.param("ˈnē ˈjərk", "ˈnē\u00a0ˈjərk", id="space that does not break"),
    ],
)
def test_one_glyph_has_many_encodings(one: str, other: str) -> None:
    assert read_respelling(whole_variants(one)[0]) == read_respelling(whole_variants(other)[0])


@pytest.mark.parametrize(
    ("respelling", "variants"),
    [
        ("ˈkil-ə-ˌgram, ˈkē-lə-", ("ˈkil-ə-ˌgram",)),
        ("-ˈglär-ˌjēn", ()),
        ("ˈad-ˌver-", ()),
        ("-sə-, ˈpel-vəs", ("ˈpel-vəs",)),
        ("ˈōr-əl; ˈȯr-əl or ˈär-əl", ("ˈōr-əl", "ˈȯr-əl", "ˈär-əl")),
        (" ", ()),
    ],
)
def test_what_stands_for_a_part_is_no_variant(respelling: str, variants: tuple[str, ...]) -> None:
    assert whole_variants(respelling) == variants


@pytest.mark.parametrize(
    ("variant", "unknown"),
    [
        ("ˈkŏf", "'ŏ' (U+006F LATIN SMALL LETTER O, U+0306 COMBINING BREVE)"),
        ("ˈkuf", "'u' (U+0075 LATIN SMALL LETTER U)"),
        ("ˈkɪf", "'ɪ' (U+026A LATIN LETTER SMALL CAPITAL I)"),
        ("ˈiːt{it}ə{/it}n", "'ː' (U+02D0 MODIFIER LETTER TRIANGULAR COLON)"),
        ("ˈkə(f", "'(' (U+0028 LEFT PARENTHESIS)"),
        ("ˈkā̃f", "'ā̃' (U+0061 LATIN SMALL LETTER A, U+0304 COMBINING MACRON, U+0303 COMBINING TILDE)"),
        ("ˈk\U000f0000f", "'\\U000f0000' (U+F0000 no name)"),
    ],
)
def test_a_glyph_that_is_not_of_the_notation_is_named_and_nothing_is_read(variant: str, unknown: str) -> None:
    with pytest.raises(RespellingError, match="not in the table of glyphs") as refused:
        read_respelling(variant)
    assert refused.value.unknown[0] == unknown
    assert unknown in str(refused.value)


@pytest.mark.parametrize("variant", ["", "ˈ", "(ə)", " - ", "ˈst"])
def test_what_nobody_can_speak_is_refused(variant: str) -> None:
    with pytest.raises(RespellingError, match=r"it is empty|no vowel follows a stress mark") as refused:
        read_respelling(variant)
    assert refused.value.unknown == ()


@pytest.mark.parametrize("glyph", NEAREST)
def test_a_sound_that_english_lacks_is_reported(glyph: str) -> None:
    assert read_respelling(f"ˈbä{glyph}").nearest == (glyph,)
    assert read_respelling("ˈsef-ə").nearest == ()
