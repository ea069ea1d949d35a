//! Each detector by what it finds and what it leaves: right and wrong check digits, right and wrong words.

use compliance_log::redact::Redactor;

/// The types found in a text, in order.
fn types(text: &str) -> Vec<&'static str> {
    Redactor::new().scan(text).iter().map(|span| span.detector().name()).collect()
}

#[track_caller]
fn found(name: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(types(text), [name], "{text}");
    }
}

#[track_caller]
fn left(texts: &[&str]) {
    for text in texts {
        assert_eq!(types(text), [""; 0], "{text}");
    }
}

#[test]
fn cards_are_found_behind_any_word() {
    found(
        "CREDIT_CARD",
        &[
            "order 4111111111111111",
            "ref 5555555555554444",
            "tracking 4012888888881881",
            "transaction=378282246310005",
            "Bestellung 3530111333300000 bezahlt",
            "6011 1111 1111 1117",
            "30569309025904",
        ],
    );
    left(&[
        "order 4111111111111112",
        "tracking 1234567812345670",
        "ref 0000000000000000",
        "epoch=1755281999377",
    ]);
}

#[test]
fn verification_values_need_their_word() {
    found("CVV", &["cvv=123", "CVC: 4321", "cvv2=987", "cvc 123"]);
    left(&["took 123 ms", "cvv=12", "cvv=12345"]);
}

#[test]
fn telephone_numbers_in_the_words_of_many_languages() {
    found(
        "PHONE",
        &[
            "+44 20 7946 0958",
            "+1 (212) 555-0187",
            "tel:+81-3-1234-5678",
            "téléphone : 01 42 68 53 00",
            "telefon 22 123 45 67",
            "telefono 06 6982 1234",
            "puhelin 040 123 4567",
            "mobil: 070-123 45 67",
            "telefonszám: 06 1 234 5678",
            "τηλ 210 123 4567",
            "móvil=612345678",
        ],
    );
    left(&["id +1", "took +120 ms", "rows 20 7946 0958", "2026-11-21 10:00:00"]);
}

#[test]
fn addresses_of_machines() {
    found("IPV4", &["203.0.113.7", "peer=8.8.8.8:53", "[198.51.100.23]", "169.254.1.1"]);
    found("IPV6", &["2001:db8::7", "fe80::1%eth0", "[2a00:1450:4001:81b::200e]:443", "::ffff:203.0.113.7"]);
    found("MAC", &["00:1b:44:11:3a:b7", "00-1B-44-11-3A-B7", "001b.4411.3ab7"]);
    left(&[
        "10.1.2.3",
        "192.168.0.7",
        "172.31.255.1",
        "127.0.0.1",
        "0.0.0.0:80",
        "255.255.255.0",
        "::1",
        "::",
        "203.0.113.0/24",
        "v1.2.3.4",
        "1.2.3.4.5",
        "256.1.1.1",
        "std::fmt",
        "12:30:45",
        "a::b::c",
        "ff:ff:ff:ff:ff:ff",
        "h1::io::Error",
        "app.auth.x",
        "3.14.15",
    ]);
}

#[test]
fn american_numbers() {
    found("US_SSN", &["219-09-9999", "ssn 219099999", "social security number: 219 09 9999"]);
    found("US_ITIN", &["itin 912-70-1234", "ITIN=912701234"]);
    found("US_EIN", &["EIN 12-3456789"]);
    left(&["000-12-3456", "666-12-3456", "123-00-4567", "12-3456789", "219-09-99999", "rows=219099999"]);
    found("CA_SIN", &["SIN 046 454 286"]);
    left(&["SIN 046 454 287"]);
    found("BR_CPF", &["111.444.777-35", "cpf 11144477735"]);
    left(&["111.444.777-36"]);
    found("BR_CNPJ", &["11.222.333/0001-81"]);
    left(&["11.222.333/0001-82"]);
}

#[test]
fn british_numbers() {
    found("UK_NINO", &["AB123456C", "nino AB 12 34 56 C", "ni number: jg121316a"]);
    left(&["BG123456C", "DA123456C", "AB123456E", "AB12345C"]);
    found("UK_NHS", &["NHS 943 476 5919", "nhs number 9434765919"]);
    left(&["rows 9434765919"]);
}

#[test]
fn german_austrian_and_swiss_numbers() {
    found("DE_TAX_ID", &["86 095 742 719", "Steuer-ID 86095742719", "IdNr. 86095742719"]);
    left(&["86 095 742 718"]);
    found("DE_VAT", &["DE136695976", "USt-IdNr. DE 136695976"]);
    left(&["DE136695977"]);
    found("DE_ID_CARD", &["Personalausweis L01X00T471", "Ausweisnummer T220001293"]);
    found("DE_RVNR", &["Sozialversicherungsnummer 65170839J003"]);
    found("AT_SVNR", &["SVNR 1237 010180"]);
    found("CH_AHV", &["756.9217.0769.85", "AHV 7569217076985"]);
    left(&["756.9217.0769.86"]);
}

#[test]
fn numbers_of_the_low_countries_and_france() {
    found("NL_BSN", &["BSN 111222333", "burgerservicenummer: 111222333"]);
    left(&["rows 111222333"]);
    found("BE_NRN", &["85.07.30-033.28"]);
    left(&["85.07.30-033.29"]);
    found("FR_NIR", &["2 55 08 14 168 025 38", "255081416802538"]);
    left(&["255081416802539"]);
}

#[test]
fn numbers_of_southern_europe() {
    found("ES_DNI", &["12345678Z", "DNI 12345678-Z"]);
    left(&["12345678A"]);
    found("ES_NIE", &["X1234567L", "NIE X-1234567-L"]);
    left(&["X1234567A"]);
    found("IT_CF", &["RSSMRA85T10A562S", "cf: rssmra85t10a562s"]);
    left(&["RSSMRA85T10A562T"]);
    found("PT_NIF", &["NIF 123456789", "contribuinte: 123456789"]);
}

#[test]
fn numbers_of_northern_and_eastern_europe() {
    found("PL_PESEL", &["PESEL 44051401359"]);
    found("SE_PNR", &["811228-9874", "personnummer 19811228-9874"]);
    left(&["811228-9873"]);
    found("FI_HETU", &["131052-308T", "henkilötunnus 131052A308T"]);
    left(&["131052-308U"]);
    found("NO_FNR", &["fødselsnummer 01010750160", "01010750160"]);
    found("DK_CPR", &["CPR 211062-5629"]);
    left(&["991362-5629"]);
    found("CZ_RC", &["rodné číslo 736028/5163", "RČ: 736028/5163"]);
    found("NATIONAL_ID", &["CNP 1960101123456", "OIB 12345678903", "PPSN 1234567TW"]);
}

#[test]
fn numbers_of_asia_and_australia() {
    found("IN_AADHAAR", &["aadhaar 2341 2341 2346"]);
    found("IN_PAN", &["PAN AFZPK7190K"]);
    left(&["AFZXK7190K", "AFZPK7190"]);
    found("AU_TFN", &["TFN 123 456 782"]);
    found("AU_MEDICARE", &["Medicare 2123 45670 1"]);
}

#[test]
fn accounts() {
    found(
        "IBAN",
        &[
            "DE89370400440532013000",
            "GB82 WEST 1234 5698 7654 32",
            "fr7630006000011234567890189",
            "NO93 8601 1117 947",
        ],
    );
    left(&["DE89370400440532013001", "XX89370400440532013000", "DE8937040044"]);
}

#[test]
fn dates_of_birth_need_their_word() {
    found(
        "DOB",
        &[
            "born 1974-07-14",
            "geboren am 14. Juli 1974",
            "né le 14/07/1974",
            "fecha de nacimiento: 14/07/1974",
            "data di nascita 14.07.1974",
            "född 1974-07-14",
            "születési dátum: 1974.07.14",
            "dob=07/14/1974",
        ],
    );
    left(&["due 1974-07-14", "2026-11-21T19:28:54Z", "born ready 14"]);
    // A date starts where a number does.
    left(&["born x234567890123456789September 14, 1974"]);
    assert_eq!(Redactor::new().redact("geboren in Haus7 14.03.1974"), "geboren in Haus7 [DOB]");
}

#[test]
fn passports_and_patients_need_their_word() {
    found(
        "PASSPORT",
        &["passport C01X00T47", "Reisepass-Nr. C01X00T47", "passeport n° 12AB34567", "útlevél BC1234567"],
    );
    found("MRN", &["patient 70866553", "MRN: 70866553", "potilas 70866553", "member id A1234567"]);
    left(&["key C01X00T47", "pass 3 of 4", "patient waited 20 minutes"]);
}

#[test]
fn names_need_their_word() {
    found(
        "PERSON",
        &[
            "Dear Ms Pauline Hunter, your order",
            "Herr Jörg Weiß",
            "cliente María García López",
            "klient Jan Kowalski",
            "asiakas Matti Virtanen",
            "ügyfél Kovács János",
            "firstName: Anna",
            r#"{"surname":"O'Brien"}"#,
        ],
    );
    left(&[
        "service Anna started",
        "Dear Customer",
        "user Not Found",
        "name=main",
        "file_name=\"Anna Bell\"",
    ]);
}

#[test]
fn tokens_of_clouds_and_forges() {
    let run =
        |length: usize| "a1B2c3D4e5".repeat(length.div_ceil(10)).chars().take(length).collect::<String>();
    let hex =
        |length: usize| "a1b2c3d4e5".repeat(length.div_ceil(10)).chars().take(length).collect::<String>();
    for (name, token) in [
        ("AWS_KEY", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("AWS_KEY", "ASIAIOSFODNN7EXAMPLE".to_owned()),
        ("GOOGLE_KEY", format!("AIza{}", run(35))),
        ("GOOGLE_KEY", format!("GOCSPX-{}", run(28))),
        ("GITHUB_TOKEN", format!("ghp_{}", run(36))),
        ("GITHUB_TOKEN", format!("github_pat_{}", run(60))),
        ("GITLAB_TOKEN", format!("glpat-{}", run(20))),
        ("SLACK_TOKEN", format!("xoxb-1234567890-{}", run(24))),
        ("STRIPE_KEY", format!("sk_live_{}", run(24))),
        ("API_KEY", format!("npm_{}", run(36))),
        ("API_KEY", format!("pypi-{}", run(60))),
        ("API_KEY", format!("sk-proj-{}", run(48))),
        ("API_KEY", format!("sk-ant-api03-{}", run(48))),
        ("API_KEY", format!("hf_{}", run(34))),
        ("API_KEY", format!("r8_{}", run(37))),
        ("API_KEY", format!("dapi{}", hex(32))),
        ("API_KEY", format!("SG.{}.{}", run(22), run(43))),
        ("API_KEY", format!("hvs.{}", run(24))),
    ] {
        found(
            name,
            &[&token, &format!("using {token} now"), &format!("\"{token}\""), &format!("x={token}&y=1")],
        );
        // A prefix alone says nothing.
        left(&[token.get(..8).unwrap()]);
    }
}

#[test]
fn the_checksum_of_a_github_token_says_where_it_ends() {
    // Thirty times `a`, and the CRC-32 of that in base 62.
    let body = "a".repeat(30);
    let token = |check: &str| format!("ghp_{body}{check}");
    let redactor = Redactor::new();
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = u32::MAX;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    let mut value = !crc;
    let mut check = [b'0'; 6];
    for cell in check.iter_mut().rev() {
        *cell = digits[(value % 62) as usize];
        value /= 62;
    }
    let check = String::from_utf8(check.to_vec()).unwrap();
    assert_eq!(redactor.redact(&format!("{}tail", token(&check))), "[GITHUB_TOKEN]tail");
    // Without a checksum that fits, whatever follows belongs to it.
    assert_eq!(redactor.redact(&format!("{}tail", token("000000"))), "[GITHUB_TOKEN]");
    assert_eq!(redactor.redact(&token("000000")), "[GITHUB_TOKEN]");
}

#[test]
fn credentials_of_requests() {
    let check = |text: &str, expected: &str| assert_eq!(Redactor::new().redact(text), expected);
    check("curl -u admin:hunter2 https://example.com", "curl -u admin:[PASSWORD] https://example.com");
    check("curl -s --user 'admin:hunter 2' -X GET", "curl -s --user 'admin:[PASSWORD]' -X GET");
    check("curl --user=admin:x -v", "curl --user=admin:[PASSWORD] -v");
    check("curl https://example.com -uadmin:hunter2", "curl https://example.com -uadmin:[PASSWORD]");
    check("mysql://root:p4ss@db/x", "mysql://root:[URL_PASSWORD]@db/x");
    check(
        "Server=db;User Id=sa;Password=S3cret!;Encrypt=true",
        "Server=db;User Id=sa;Password=[PASSWORD];Encrypt=true",
    );
    check("proxy-authorization: Basic YWxhZGRpbjpvcGVu", "proxy-authorization: Basic [BASIC_AUTH]");
    left(&["curl -u admin https://example.com", "ls -u a", "curl -u :", "curl https://example.com:8080/a"]);
}

#[test]
fn a_placeholder_does_not_shield_what_follows_it() {
    let check = |text: &str, expected: &str| assert_eq!(Redactor::new().redact(text), expected);
    check("password=[EMAIL]hunter2", "password=[PASSWORD]");
    check("password=[PASSWORD]", "password=[PASSWORD]");
    check("password=[PASSWORD], ok", "password=[PASSWORD], ok");
}
