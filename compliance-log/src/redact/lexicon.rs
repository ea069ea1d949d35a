//! The words that announce a value, in the languages logs are written in, and the prefixes of tokens.
//!
//! Three letters decide whether a word is looked up at all, so that clean text pays for one table read a word.

use std::sync::LazyLock;

use super::detect::secret::Key;
use super::detect::token::{PREFIXES, Prefix};
use super::text::{HIGH, LETTER, LOWER, Text, UPPER, is};

/// What a word announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    Aadhaar,
    Ahv,
    Birth,
    Bsn,
    Card,
    Cf,
    Cnpj,
    Cpf,
    Cpr,
    Cvv,
    Dni,
    Ein,
    Fnr,
    Geo,
    Hetu,
    Iban,
    IdCard,
    Itin,
    Mac,
    Medicare,
    National,
    Nhs,
    Nie,
    Nif,
    Nino,
    Nir,
    Nrn,
    Pan,
    Passport,
    Patient,
    Pesel,
    Phone,
    Personnummer,
    RodneCislo,
    Rvnr,
    Sin,
    Ssn,
    Svnr,
    Tax,
    Tfn,
    Vat,
}

/// How a name follows its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// A form of address: one capitalised word is a name, and the form belongs to it.
    Title,
    /// A salutation: one capitalised word is a name.
    Salutation,
    /// A role: two capitalised words are a name.
    Role,
    /// A key such as `first_name`: one capitalised word is a name.
    NamePart,
    /// A key such as `name`, when what it belongs to may have a person's name.
    Name,
}

/// What to do at a word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lead {
    Cue(Cue),
    Name(Naming),
    Key(Key),
    Bearer,
    Basic,
    Prefix(&'static Prefix),
}

struct Entry {
    word: &'static str,
    lead: Lead,
}

/// The table of words, built once per process.
pub(crate) struct Lexicon {
    /// By the first three letters: one more than the index of the first entry, 0 for none.
    first: Box<[u16]>,
    /// By the first four letters: one bit for each hash that some entry has.
    heads: Hashes,
    /// By the first eight letters: the same for words.
    words: Hashes,
    /// By the first four letters: the same for prefixes. Letters may follow those without end.
    prefixes: Hashes,
    entries: Vec<(usize, Entry)>,
}

/// A word of the table that stands in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) lead: Lead,
    pub(crate) end: usize,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::build);

/// The table.
pub(crate) fn lexicon() -> &'static Lexicon {
    &LEXICON
}

/// 1 to 26 for ASCII letters of either case, 0 for anything else.
#[inline]
fn letter(byte: u8) -> usize {
    let small = byte | 0x20;
    if small.is_ascii_lowercase() { usize::from(small.wrapping_sub(b'a' - 1)) } else { 0 }
}

#[inline]
fn slot(first: u8, second: u8, third: u8) -> usize {
    letter(first).wrapping_mul(27).wrapping_add(letter(second)).wrapping_mul(27).wrapping_add(letter(third))
}

const SLOTS: usize = 27 * 27 * 27;

/// Bits in the table of hashes.
const HASHES: usize = 1 << 15;

/// A set of hashes: one bit each, so that a word that is in nobody's table is told in one read.
struct Hashes(Box<[u64; HASHES / 64]>);

impl Hashes {
    fn new() -> Self {
        Self(Box::new([0; HASHES / 64]))
    }

    #[inline]
    fn place(word: u64) -> (usize, u64) {
        let hash = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 49;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    fn add(&mut self, word: u64) {
        let (cell, bit) = Self::place(word);
        if let Some(cell) = self.0.get_mut(cell) {
            *cell |= bit;
        }
    }

    #[inline]
    fn has(&self, word: u64) -> bool {
        let (cell, bit) = Self::place(word);
        self.0.get(cell).is_some_and(|cell| cell & bit != 0)
    }
}

/// The first `letters` bytes at `at`, one to eight, whatever their case.
#[inline]
fn head(text: Text<'_>, at: usize, letters: u32) -> u64 {
    let head = match text.bytes().get(at..).and_then(<[u8]>::first_chunk::<8>) {
        Some(head) => *head,
        None => std::array::from_fn(|offset| text.at(at.wrapping_add(offset))),
    };
    let dropped = 64_u32.wrapping_sub(letters.min(8).wrapping_mul(8));
    (u64::from_le_bytes(head) | 0x2020_2020_2020_2020) & (u64::MAX >> (dropped & 63))
}

/// How many letters the first word of a table's word has, as the scan counts them; none when it starts outside ASCII.
fn leading_letters(text: Text<'_>) -> u32 {
    let mut letters = 0_u32;
    let mut before = 0_u8;
    for byte in text.bytes() {
        if !is(*byte, UPPER | LOWER) || (is(*byte, UPPER) && is(before, LOWER)) {
            break;
        }
        before = *byte;
        letters = letters.wrapping_add(1);
    }
    letters
}

impl Lexicon {
    fn build() -> Self {
        let mut entries = Vec::new();
        let mut add = |word: &'static str, lead: Lead| {
            let bytes = word.as_bytes();
            let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
            entries.push((slot(at(0), at(1), at(2)), Entry { word, lead }));
        };
        for (cue, words) in CUES {
            words.split_whitespace().for_each(|word| add(word, Lead::Cue(*cue)));
        }
        for (naming, words) in NAMINGS {
            words.split_whitespace().for_each(|word| add(word, Lead::Name(*naming)));
        }
        for (key, words) in KEYS {
            words.split_whitespace().for_each(|word| add(word, Lead::Key(*key)));
        }
        add("bearer", Lead::Bearer);
        add("basic", Lead::Basic);
        PREFIXES.iter().for_each(|prefix| add(prefix.text, Lead::Prefix(prefix)));
        // Longer words first, so that a prefix never hides a longer one.
        entries.sort_by(|(left, a), (right, b)| left.cmp(right).then(b.word.len().cmp(&a.word.len())));
        let mut first = vec![0_u16; SLOTS].into_boxed_slice();
        for (index, (slot, _)) in entries.iter().enumerate().rev() {
            if let (Some(cell), Ok(index)) = (first.get_mut(*slot), u16::try_from(index)) {
                *cell = index.saturating_add(1);
            }
        }
        let (mut heads, mut words, mut prefixes) = (Hashes::new(), Hashes::new(), Hashes::new());
        for (_, entry) in &entries {
            let text = Text::new(entry.word);
            if text.is(0, HIGH) {
                continue;
            }
            let letters = leading_letters(text);
            heads.add(head(text, 0, letters.min(4)));
            match entry.lead {
                Lead::Prefix(_) => prefixes.add(head(text, 0, letters.min(4))),
                _ => words.add(head(text, 0, letters)),
            }
        }
        Self { first, heads, words, prefixes, entries }
    }

    /// Whether any word of the table may start at `at`, where a word starts whose first `letters` bytes, one at least,
    /// are ASCII letters. The fast no of the scan.
    #[inline]
    pub(crate) fn may_start(&self, text: Text<'_>, at: usize, letters: u32) -> bool {
        let word = head(text, at, letters);
        let start = word & 0xffff_ffff;
        self.heads.has(start) && (self.words.has(word) || self.prefixes.has(start))
    }

    #[inline]
    fn index(&self, text: Text<'_>, at: usize) -> u16 {
        let slot = match text.bytes().get(at..) {
            Some([a, b, c, ..]) => slot(*a, *b, *c),
            Some([a, b]) => slot(*a, *b, 0),
            _ => return 0,
        };
        self.first.get(slot).copied().unwrap_or(0)
    }

    /// The words that stand at `at`: there may be several, since one word announces several things.
    pub(crate) fn found(&self, text: Text<'_>, at: usize, mut visit: impl FnMut(Found)) {
        let index = usize::from(self.index(text, at));
        if index == 0 {
            return;
        }
        let entries = self.entries.get(index.wrapping_sub(1)..).unwrap_or(&[]);
        let Some((slot, _)) = entries.first() else { return };
        let end = word_end(text, at);
        let word = text.str(at, end);
        let folded = word.bytes().any(|byte| is(byte, HIGH)).then(|| word.to_lowercase());
        let word = folded.as_deref().unwrap_or(word);
        for (_, entry) in entries.iter().take_while(|(other, _)| other == slot) {
            match entry.lead {
                Lead::Prefix(prefix) => {
                    if text.has(at, prefix.text.as_bytes()) {
                        visit(Found { lead: entry.lead, end: at.saturating_add(prefix.text.len()) });
                    }
                }
                lead => {
                    if word.eq_ignore_ascii_case(entry.word) {
                        visit(Found { lead, end });
                    }
                }
            }
        }
    }

    /// Calls `visit` for every word of the table in a field's name: `user_email`, `cardNumber`, `X-Api-Key`.
    pub(crate) fn words_of_key(&self, key: &str, mut visit: impl FnMut(usize, Found)) {
        let text = Text::new(key);
        for at in 0..text.len() {
            if starts_word(text, at) {
                self.found(text, at, |found| visit(at, found));
            }
        }
    }
}

/// Whether a word starts at `at`: a letter after none, or a capital after a small one.
pub(crate) fn starts_word(text: Text<'_>, at: usize) -> bool {
    text.is(at, LETTER)
        && (!text.is_before(at, LETTER | super::text::DIGIT)
            || (text.is(at, UPPER) && text.is_before(at, LOWER)))
}

/// The end of the word at `at`: where the letters end, or where a capital follows a small letter.
fn word_end(text: Text<'_>, at: usize) -> usize {
    let mut end = at;
    let mut before = 0_u8;
    while end.wrapping_sub(at) < 32 {
        let byte = text.at(end);
        if !is(byte, LETTER) || (is(byte, UPPER) && is(before, LOWER)) {
            break;
        }
        before = byte;
        end = end.wrapping_add(1);
    }
    end
}

/// Words that may stand between an announcing word and its value: `SSN number is`, `Steuer-ID lautet`.
pub(crate) fn is_filler(word: &[u8]) -> bool {
    const FILLERS: &[&str] = &[
        "number",
        "num",
        "no",
        "nr",
        "nbr",
        "id",
        "is",
        "was",
        "code",
        "value",
        "val",
        "of",
        "the",
        "for",
        "to",
        "from",
        "on",
        "at",
        "nummer",
        "nummern",
        "ist",
        "war",
        "lautet",
        "von",
        "für",
        "vom",
        "am",
        "der",
        "die",
        "numéro",
        "numero",
        "número",
        "est",
        "du",
        "de",
        "la",
        "le",
        "des",
        "né",
        "au",
        "à",
        "es",
        "del",
        "el",
        "do",
        "da",
        "della",
        "di",
        "il",
        "al",
        "è",
        "van",
        "het",
        "op",
        "numer",
        "to",
        "jest",
        "číslo",
        "cislo",
        "je",
        "är",
        "er",
        "på",
        "på",
        "av",
        "some",
        "ok",
        "err",
        "str",
        "string",
        "sociale",
        "social",
        "securite",
        "sécurité",
        "insurance",
        "ins",
        "card",
        "karte",
        "номер",
        "full",
        "raw",
        "new",
        "old",
        "invalid",
        "key",
        "fiscal",
        "fiscale",
        "primary",
        "home",
        "work",
        "mobile",
        "cell",
        "via",
        "unter",
        "sous",
    ];
    FILLERS.iter().any(|filler| filler.as_bytes().eq_ignore_ascii_case(word))
}

const CUES: &[(Cue, &str)] = &[
    (Cue::Aadhaar, "aadhaar aadhar uid uidai आधार"),
    (Cue::Ahv, "ahv avs ahvn13 navs oasi nss sozialversicherungsnummer versichertennummer"),
    (
        Cue::Birth,
        "dob born birth birthday birthdate dateofbirth geboren geburtsdatum geburtstag geb geborene né née \
         naissance nacimiento nacido nacida nascimento nascido nascida nascita nato nata geboortedatum geboorte \
         urodzenia urodzony urodzona narození narozen narozena narodenia född födelsedatum født fødselsdato \
         syntymäaika syntynyt fødd születési рождения родился doğum γέννησης",
    ),
    (Cue::Bsn, "bsn burgerservicenummer sofinummer sofi"),
    (
        Cue::Card,
        "card cc pan creditcard cardnumber cardno ccnum ccnumber kreditkarte kreditkartennummer kartennummer karte \
         carte tarjeta cartão cartao carta kaart kaartnummer creditcardnummer karta karty kort kortnummer kartnummer \
         luottokortti visa mastercard amex maestro карта карты",
    ),
    (Cue::Cf, "codicefiscale fiscale cf"),
    (Cue::Cnpj, "cnpj"),
    (Cue::Cpf, "cpf"),
    (Cue::Cpr, "cpr cprnr cprnummer personnummer"),
    (Cue::Cvv, "cvv cvc cvv2 cvc2 csc cid kartenprüfnummer prüfnummer cryptogramme"),
    (Cue::Dni, "dni nif documento identidad"),
    (Cue::Ein, "ein fein employer"),
    (Cue::Fnr, "fødselsnummer fodselsnummer fnr personnummer fødselsnr"),
    (
        Cue::Geo,
        "lat latitude lon lng long longitude breitengrad längengrad coordinates coords gps geo location",
    ),
    (Cue::Hetu, "hetu henkilötunnus henkilotunnus"),
    (Cue::Iban, "iban"),
    (Cue::IdCard, "personalausweis personalausweisnummer ausweis ausweisnummer ausweisnr perso"),
    (Cue::Itin, "itin"),
    (Cue::Mac, "mac bssid hwaddr ether lladdr"),
    (Cue::Medicare, "medicare"),
    (
        Cue::National,
        "ssn nationalid identitynumber idnumber nationalidentity identificatienummer identiteitsnummer pps ppsn \
         curp rut tckn kimlik egn cnp emso oib jmbg amka personalnummer ausweisnummer isikukood",
    ),
    (Cue::Nhs, "nhs nhsnumber"),
    (Cue::Nie, "nie"),
    (Cue::Nif, "nif contribuinte nipc"),
    (Cue::Nino, "nino ni nin insurance"),
    (Cue::Nir, "nir insee sécu secu sociale vitale"),
    (Cue::Nrn, "rijksregister rijksregisternummer rijksregisternr nrn niss insz registre national"),
    (Cue::Pan, "pan pancard"),
    (
        Cue::Passport,
        "passport passportno passportnumber reisepass reisepassnummer pass passnummer passeport pasaporte passaporte \
         passaporto paspoort paspoortnummer paszport paszportu pas pasu passi passnr cestovní паспорт паспорта",
    ),
    (
        Cue::Patient,
        "patient patientid patientin mrn pat patiënt paciente paziente pacient pacjent patientnummer versichertennr \
         versichertennummer patientennummer patientennr krankenversichertennummer kvnr member memberid \
         subscriber beneficiary chart medical pasient potilas",
    ),
    (Cue::Pesel, "pesel peselu"),
    (
        Cue::Phone,
        "phone phonenumber telephone tel telefon telefoon telefono teléfono telefone téléphone telephon telefonnummer \
         telefoonnummer telefonnr telnr telno mobile mobil mobiel mobiltelefon mobilnummer mobilní móvil movil mobilny \
         cell cellphone cellular celular cellulare handy handynummer handynr gsm fax telefax sms whatsapp signal call \
         called calling caller calls dial dialed dialled rang ring rufnummer rückruf angerufen anruf kontakt contact \
         contacto contatto contato rappeler joignable joindre appeler appel appelé portable fixe belde bellen gebeld \
         bereikbaar telefonu telefonní kom komórka komórkowy puhelin puhelinnumero matkapuhelin tlf telf tfn llamar \
         llamada llamó dzwonił zadzwonił dzwoniła volal volala soitti ringte ligar ligou chiamare chiamato chiamata recapito numer msisdn hotline msg texted ringde \
         телефон тел звонок мобильный τηλέφωνο κινητό τηλ 电话 手机 電話 携帯 전화 هاتف फोन טלפון ruf tél",
    ),
    (Cue::Personnummer, "personnummer personnr pnr samordningsnummer"),
    (Cue::RodneCislo, "rodné rodne rč rc rodného číslo cislo"),
    (Cue::Rvnr, "rvnr sozialversicherungsnummer rentenversicherungsnummer svnr"),
    (Cue::Sin, "sin nas"),
    (Cue::Ssn, "ssn ssnumber socialsecurity socialsecuritynumber security tin taxpayer"),
    (Cue::Svnr, "svnr svnummer sozialversicherungsnummer versicherungsnummer sv"),
    (
        Cue::Tax,
        "steuer steuerid steuernummer steueridentifikationsnummer idnr steueridnr tin identifikationsnummer idnummer \
         tax taxid",
    ),
    (Cue::Tfn, "tfn"),
    (Cue::Vat, "vat ust ustid ustidnr umsatzsteuer mwst vatid vatin vatnumber tva iva btw"),
];

const NAMINGS: &[(Naming, &str)] = &[
    (
        Naming::Title,
        "mr mrs ms miss mx mister dr prof herr herrn frau monsieur madame mme mlle sr sra srta señor señora signor \
         signora sig dhr mevr mevrouw meneer hr fru pani rouva herra don doña dott dott.ssa ing mag dipl univ sir dame",
    ),
    (
        Naming::Salutation,
        "dear geehrte geehrter geachte beste cher chère querido querida estimado estimada caro cara gentile prezado \
         prezada liebe lieber kære hej szanowny szanowna vážený vážená hyvä",
    ),
    (
        Naming::Role,
        "customer client cliente klant kunde kundin kunden kund klient klientka zákazník asiakas clienti utente \
         usuario usuaria utilisateur utilisatrice gebruiker nutzer nutzerin benutzer patient patientin patiënt paciente \
         paziente pacient pacjent applicant antragsteller antragstellerin employee mitarbeiter mitarbeiterin \
         werknemer empleado dipendente colaborador pracownik zaměstnanec pracovník holder inhaber kontoinhaber \
         karteninhaber cardholder titulaire titular titolare beneficiary bénéficiaire beneficiario begünstigter \
         recipient empfänger empfängerin destinataire destinatario ontvanger odbiorca sender absender guest member \
         passenger student caller insured versicherter versicherte nurse doctor rechnung facture factura fattura \
         factuur invoice pour für zugunsten contact kontakt user person buyer seller käufer acheteur owner \
         signed subscriber hóspede mieter tenant locataire mme zahlung überweisung transfer virement payment \
         remitente acquirente comprador kupující клиент пациент",
    ),
    (
        Naming::NamePart,
        "firstname lastname surname forename fullname givenname familyname middlename maidenname vorname nachname \
         familienname prénom prenom apellido apellidos nombres cognome voornaam achternaam imię imie nazwisko \
         jméno jmeno příjmení prijmeni meno priezvisko förnamn efternamn fornavn etternavn efternavn etunimi sukunimi \
         sobrenome apelido geburtsname имя фамилия",
    ),
    (Naming::Name, "name nom nombre nome naam namn navn nimi nazwa"),
];

const KEYS: &[(Key, &str)] = &[
    (
        Key::Password,
        "password passwd passwort kennwort pwd passphrase passcode pass pw motdepasse mdp contraseña contrasena \
         clave senha wachtwoord hasło haslo heslo lösenord losenord salasana adgangskode passord userpassword \
         dbpassword pgpassword passwordhash пароль şifre parola jelszó 密码 パスワード 비밀번호",
    ),
    (Key::Pin, "pin otp totp mfa tan 2fa onetimecode onetimepassword"),
    (
        Key::Secret,
        "secret secrets clientsecret appsecret secretkey privatekey apikey apisecret accesskey accountkey signingkey \
         encryptionkey masterkey sharedaccesskey sharedkey hmackey seed mnemonic credential credentials webhooksecret \
         licensekey geheimnis",
    ),
    (
        Key::Token,
        "token tokens accesstoken refreshtoken idtoken authtoken bearertoken csrf xsrf csrftoken xsrftoken apitoken \
         sessiontoken jwt nonce authcode assertion saml sig signature jeton",
    ),
    (Key::Session, "session sessionid sessid sid jsessionid phpsessid aspsessionid sess sessionkey"),
    (Key::Authorization, "authorization authorisation"),
    (Key::Cookie, "cookie cookies"),
    (Key::Any, "key auth"),
];

/// The letters of `word` that match an announcing key's end, for identifiers written as one word.
pub(crate) fn secret_suffix(word: &[u8]) -> Option<Key> {
    const SUFFIXES: &[(&str, Key)] = &[
        ("password", Key::Password),
        ("passwd", Key::Password),
        ("passwort", Key::Password),
        ("secret", Key::Secret),
        ("apikey", Key::Secret),
        ("token", Key::Token),
    ];
    SUFFIXES.iter().find_map(|(suffix, key)| {
        let start = word.len().checked_sub(suffix.len())?;
        word.get(start..)?.eq_ignore_ascii_case(suffix.as_bytes()).then_some(*key)
    })
}

/// Whether a technical number follows the word: an order, a parcel, a version. Nobody's number.
pub(crate) fn is_reference(word: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "tracking",
        "track",
        "trackingnr",
        "order",
        "orders",
        "ord",
        "shipment",
        "shipped",
        "parcel",
        "invoice",
        "inv",
        "bestellung",
        "bestellnummer",
        "rechnung",
        "rechnungsnummer",
        "sendung",
        "sendungsnummer",
        "commande",
        "facture",
        "colis",
        "pedido",
        "factura",
        "envío",
        "ordine",
        "fattura",
        "bestelling",
        "factuur",
        "zending",
        "zamówienie",
        "objednávka",
        "faktura",
        "ticket",
        "case",
        "issue",
        "version",
        "ver",
        "build",
        "release",
        "rev",
        "commit",
        "sku",
        "ref",
        "reference",
        "referenz",
        "epoch",
        "timestamp",
        "ts",
        "time",
        "size",
        "rows",
        "offset",
        "bytes",
        "count",
        "seq",
        "sequence",
        "block",
        "blk",
        "txn",
        "transaction",
        "trace",
        "span",
        "port",
        "pid",
        "tid",
        "thread",
        "epochms",
        "duration",
        "job",
        "run",
        "batch",
        "isbn",
        "ean",
        "gtin",
        "upc",
        "barcode",
        "serial",
        "imei",
        "uptime",
        "nonce",
        "checksum",
        "crc",
        "hash",
        "index",
        "length",
        "line",
        "checkpoint",
        "partition",
        "revision",
        "counter",
    ];
    WORDS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word))
}

/// Whether a word announces a value: it ends a name that stands before it.
pub(crate) fn announces(word: &str) -> bool {
    let mut announces = false;
    lexicon()
        .found(Text::new(word), 0, |found| announces |= matches!(found.lead, Lead::Cue(_) | Lead::Key(_)));
    announces
}
