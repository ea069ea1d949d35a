//! Words that announce a value and mean other things too, and words that give a number to something else.

use compliance_log::redact::Redactor;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(Redactor::new().redact(text), expected);
}

#[track_caller]
fn kept(texts: &[&str]) {
    for text in texts {
        check(text, text);
    }
}

#[test]
fn a_program_is_called_and_counted_too() {
    for number in ["0301234567", "030 1234567", "+49 30 1234567", "612345678", "2125550187"] {
        check(&format!("contact {number} now"), "contact [PHONE] now");
        check(&format!("called {number}."), "called [PHONE].");
    }
    kept(&[
        "calls=1234567 errors=0",
        "rpc call 12345678 took 3 ms",
        "call_id=8273645 done",
        "msg 1732270000",
        "contact_id=7654321",
        "signal=1000000",
        "ring 8388608 bytes",
        "numer zamówienia 1234567890",
    ]);
    check("tel 1234567", "tel [PHONE]");
}

#[test]
fn an_ambiguous_word_needs_a_check_or_a_shape() {
    check("uid 2341 2341 2346", "uid [IN_AADHAAR]");
    check("EIN 12-3456789", "EIN [US_EIN]");
    check("TIN 219-09-9999", "TIN [US_SSN]");
    check("rodné číslo 736028/5163", "rodné číslo [CZ_RC]");
    check("PPS 1234567TA", "PPS [NATIONAL_ID]");
    check("member AB123456", "member [MRN]");
    check("pass C01X00147", "pass [PASSPORT]");
    check("card 4012888888881881, csc 123", "card [CREDIT_CARD], csc [CVV]");
    check("social security 219099999", "social security [US_SSN]");
    kept(&[
        "uid=482910573312",
        "rc=-1073741819",
        "pps=1234567",
        "cid=123",
        "válido hasta 20261231",
        "cluster member 10245 joined",
        "ein 123456789",
        "tin 123456789",
        "security patch 202611221",
        "pass 1234567 fail 0",
        "oib 123456",
        "číslo 1234567890",
    ]);
}

#[test]
fn a_word_for_a_thing_takes_its_number() {
    check("nino AB123456C", "nino [UK_NINO]");
    kept(&["order AB123456C shipped", "part SK123456A", "sku AFZPK7190K", "coupon 12345678Z"]);
}

#[test]
fn a_word_for_a_value_makes_up_for_its_check() {
    check("pan: afzpk7190k", "pan: [IN_PAN]");
    check("nie X1234567A", "nie [ES_NIE]");
    check("hetu 131052-308X", "hetu [FI_HETU]");
    check("mac=001b44113ab7", "mac=[MAC]");
    kept(&["x afzpk7190k", "X1234567A", "131052-308X", "001b44113ab7"]);
}

#[test]
fn grouped_numbers_are_counted() {
    check("86 095 742 719", "[DE_TAX_ID]");
    check("joindre 06 58 19 40 35", "joindre [PHONE]");
    kept(&["86 095 742 719 octets", "00000010  01 02 03 04 05 06 07 08", "ff 01 02 03 04 05 aa"]);
}

#[test]
fn abbreviations_are_no_titles() {
    check("Ms Word and Mrs. Hunter", "[PERSON] and [PERSON]");
    kept(&["MX Record changed", "MS Word closed", "git@github.com:acme/app.git"]);
}

#[test]
fn a_plus_in_a_form_is_a_space() {
    check("POST card=4012+8888+8888+1881&exp=1229", "POST card=[CREDIT_CARD]&exp=1229");
    check("GET /?phone=%2B49+30+2345678", "GET /?phone=[PHONE]");
    check("ssn=219+09+9999", "ssn=[US_SSN]");
    check("GET /?name=Anna+Schmidt&x=1", "GET /?name=[PERSON]&x=1");
    check("to=anna+tag@example.com", "to=[EMAIL]");
    kept(&["4012+8888+8888+1881", "a+b=c+d", "sum=1+2+3"]);
}

#[test]
fn passwords_of_data_sources() {
    check("app:p@ss@tcp(db:3306)/x", "app:[URL_PASSWORD]@tcp(db:3306)/x");
    check("dsn=app:pw@unix(/run/db)/x", "dsn=app:[URL_PASSWORD]@unix(/run/db)/x");
    kept(&["ping@tcp(db:3306)"]);
}

#[test]
fn identifiers_as_they_are_written() {
    for (text, name) in [
        ("VAT ID DE-136695976", "DE_VAT"),
        ("vat=DE 136 695 976", "DE_VAT"),
        ("dni=48213975h", "ES_DNI"),
        ("pass no. 87654321", "PASSPORT"),
        ("Reisepass C4VPZ7LJ3", "PASSPORT"),
        ("SV-Nummer 1237 010180", "AT_SVNR"),
        ("電話番号03-1234-5678まで", "PHONE"),
        ("旅券番号: TK1234567", "PASSPORT"),
    ] {
        let found = Redactor::new().scan(text);
        assert_eq!(found.iter().map(|span| span.detector().name()).collect::<Vec<_>>(), [name], "{text}");
    }
    kept(&["sv 1234567890", "DE 136 695 976", "lib/foo-1.2.3.4.jar and libfoo.so.1.22.3.4 in § 5.3.2.1"]);
}

#[test]
fn what_may_hide_text_is_looked_into_or_dropped() {
    let parts = "/AbcdEfg1".repeat(9);
    let hidden = "/YW5uYUBleGFtcGxlLmNvbSB3cm90ZSB0byB1cy".to_owned() + &"/aBcD".repeat(80);
    assert_eq!(Redactor::new().redact(&format!("path {parts}{hidden}")), format!("path {parts}/[DROPPED]"));
}
