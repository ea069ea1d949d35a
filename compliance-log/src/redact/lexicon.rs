//! The words that announce a value, in the languages logs are written in, and the prefixes of tokens.
//!
//! A hash of the first eight letters decides whether a word is looked up at all, so that clean text pays for one table read a word.

use std::sync::LazyLock;

use fearless_simd::Level;

use super::detect::secret::Key;
use super::detect::token::{PREFIXES, Prefix};
use super::text::{HIGH, LETTER, LOWER, Text, UPPER, is};
use super::words::WordSet;

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
    /// A program that takes credentials as an argument.
    Command,
    Prefix(&'static Prefix),
}

struct Entry {
    word: &'static str,
    lead: Lead,
}

/// The table of words, built once per process.
pub(crate) struct Lexicon {
    /// What this machine's vector unit can do.
    pub(crate) level: Level,
    /// By the first eight letters: one bit for each hash that some entry has.
    words: Hashes,
    /// By the first four letters: the same for prefixes that letters may follow.
    prefixes: Hashes,
    names: Places,
    /// The prefixes.
    heads: Places,
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

/// The places of words and of prefixes.
const PLACES: usize = 1024;

/// Where a word in lower case, or in any case of ASCII letters, stands.
#[inline]
fn place(word: &[u8]) -> usize {
    let hash = word
        .iter()
        .fold(word.len(), |hash, byte| hash.rotate_left(5) ^ usize::from(byte | 0x20).wrapping_mul(0x2f1));
    (hash ^ (hash >> 10) ^ (hash >> 20)) & (PLACES - 1)
}

/// Where a prefix stands: two bytes decide.
#[inline]
fn prefix_place(first: u8, second: u8) -> usize {
    usize::from(first).wrapping_mul(31).wrapping_add(usize::from(second)) & (PLACES - 1)
}

/// Entries by place.
struct Places {
    /// For each place the index of its first entry; the next place's is where it ends.
    first: Vec<u16>,
    entries: Vec<Entry>,
}

impl Places {
    fn new(mut entries: Vec<(usize, Entry)>) -> Self {
        entries.sort_by_key(|(place, _)| *place);
        let first = (0..=PLACES).map(|place| {
            let before = entries.partition_point(|(other, _)| *other < place);
            u16::try_from(before).unwrap_or(u16::MAX)
        });
        Self { first: first.collect(), entries: entries.into_iter().map(|(_, entry)| entry).collect() }
    }

    #[inline]
    fn at(&self, place: usize) -> &[Entry] {
        let Some([start, end, ..]) = self.first.get(place..) else { return &[] };
        self.entries.get(usize::from(*start)..usize::from(*end)).unwrap_or(&[])
    }
}

/// Bits in the table of hashes.
const HASHES: usize = 1 << 16;

/// A set of hashes: one bit each, so that a word that is in nobody's table is told in one read.
struct Hashes(Box<[u64; HASHES / 64]>);

impl Hashes {
    fn new() -> Self {
        Self(Box::new([0; HASHES / 64]))
    }

    #[inline(always)]
    fn place(word: u64) -> (usize, u64) {
        let hash = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    fn add(&mut self, word: u64) {
        let (cell, bit) = Self::place(word);
        if let Some(cell) = self.0.get_mut(cell) {
            *cell |= bit;
        }
    }

    #[inline(always)]
    fn has(&self, word: u64) -> bool {
        let (cell, bit) = Self::place(word);
        self.0.get(cell).is_some_and(|cell| cell & bit != 0)
    }
}

/// The first `letters` bytes at `at`, one to eight. Only the first one's case counts.
#[inline(always)]
fn head(text: Text<'_>, at: usize, letters: u32) -> u64 {
    let bytes = text.bytes();
    let eight = match bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => tail(bytes, at),
    };
    start(eight | 0x2020_2020_2020_2000, letters)
}

/// The last bytes of a text from `at` on.
fn tail(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or(&[]);
    rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u64::from(*byte))
}

/// The first `letters` bytes of eight; one at least.
#[inline(always)]
fn start(eight: u64, letters: u32) -> u64 {
    eight & (u64::MAX >> ((8_u32.wrapping_sub(letters) & 7) << 3))
}

/// How many letters the first word of a table's word has, as the scan counts them.
fn leading_letters(text: Text<'_>) -> u32 {
    let mut letters = 0_u32;
    let mut before = 0_u8;
    for byte in text.bytes() {
        if !is(*byte, LETTER) || (is(*byte, UPPER) && is(before, LOWER)) {
            break;
        }
        before = *byte;
        letters = letters.wrapping_add(1);
    }
    letters
}

/// A word as it may be written: as it is, with a capital, in capitals.
fn spellings(entry: &Entry) -> Vec<String> {
    let word = entry.word;
    let mut rest = word.chars();
    let capital = rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect());
    match entry.lead {
        Lead::Prefix(_) => vec![word.to_owned()],
        Lead::Name(Naming::Title) => vec![capital, word.to_uppercase()],
        _ => vec![word.to_owned(), capital, word.to_uppercase()],
    }
}

impl Lexicon {
    fn build() -> Self {
        let mut entries = Vec::new();
        for (cue, words) in CUES {
            entries.extend(words.split_whitespace().map(|word| Entry { word, lead: Lead::Cue(*cue) }));
        }
        for (naming, words) in NAMINGS {
            entries.extend(words.split_whitespace().map(|word| Entry { word, lead: Lead::Name(*naming) }));
        }
        for (key, words) in KEYS {
            entries.extend(words.split_whitespace().map(|word| Entry { word, lead: Lead::Key(*key) }));
        }
        entries.push(Entry { word: "bearer", lead: Lead::Bearer });
        entries.push(Entry { word: "basic", lead: Lead::Basic });
        entries.push(Entry { word: "curl", lead: Lead::Command });
        entries.extend(PREFIXES.iter().map(|prefix| Entry { word: prefix.text, lead: Lead::Prefix(prefix) }));
        let (mut words, mut prefixes) = (Hashes::new(), Hashes::new());
        for entry in &entries {
            for spelling in spellings(entry) {
                let text = Text::new(&spelling);
                let letters = leading_letters(text).clamp(1, 8);
                words.add(head(text, 0, letters));
                if matches!(entry.lead, Lead::Prefix(_)) && letters >= 4 {
                    prefixes.add(head(text, 0, 4));
                }
            }
        }
        let (heads, names): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| matches!(entry.lead, Lead::Prefix(_)));
        let two = |word: &str| {
            let mut bytes = word.bytes();
            prefix_place(bytes.next().unwrap_or(0), bytes.next().unwrap_or(0))
        };
        Self {
            level: Level::new(),
            words,
            prefixes,
            names: Places::new(
                names.into_iter().map(|entry| (place(entry.word.as_bytes()), entry)).collect(),
            ),
            heads: Places::new(heads.into_iter().map(|entry| (two(entry.word), entry)).collect()),
        }
    }

    /// Whether any word of the table may start at `at`, where a word starts that has `letters` letters, one to eight;
    /// eight stands for more. The fast no of the scan.
    #[inline(always)]
    pub(crate) fn may_start(&self, text: Text<'_>, at: usize, letters: u32) -> bool {
        self.words.has(head(text, at, letters))
    }

    /// Whether any prefix of the table may start at `at` that letters follow.
    #[inline(always)]
    pub(crate) fn may_prefix(&self, text: Text<'_>, at: usize) -> bool {
        self.prefixes.has(head(text, at, 4))
    }

    /// The words that stand at `at`: there may be several, since one word announces several things.
    pub(crate) fn found(&self, text: Text<'_>, at: usize, mut visit: impl FnMut(Found)) {
        for entry in self.heads.at(prefix_place(text.at(at), text.at(at.wrapping_add(1)))) {
            if text.has(at, entry.word.as_bytes()) {
                visit(Found { lead: entry.lead, end: at.saturating_add(entry.word.len()) });
            }
        }
        let end = word_end(text, at);
        let whole = text.run_end(at, LETTER, MAX_WORD);
        if whole > end && !text.is_before(at, LETTER) {
            self.fold(text, at, whole, &mut visit);
        }
        self.fold(text, at, end, &mut visit);
    }

    /// The entries for the word from `at` to `end`, in whatever case.
    fn fold(&self, text: Text<'_>, at: usize, end: usize, visit: &mut impl FnMut(Found)) {
        let word = text.slice(at, end);
        if !word.iter().any(|byte| is(*byte, HIGH)) {
            return self.named(word, end, visit);
        }
        self.named(text.str(at, end).to_lowercase().as_bytes(), end, visit);
    }

    /// The entries for a word that ends at `end`.
    fn named(&self, word: &[u8], end: usize, visit: &mut impl FnMut(Found)) {
        for entry in self.names.at(place(word)) {
            if entry.word.as_bytes().eq_ignore_ascii_case(word) {
                visit(Found { lead: entry.lead, end });
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

/// The longest word looked up, in bytes.
const MAX_WORD: usize = 32;

/// The end of the word at `at`: where the letters end, or where a capital follows a small letter.
fn word_end(text: Text<'_>, at: usize) -> usize {
    let mut end = at;
    let mut before = 0_u8;
    while end.wrapping_sub(at) < MAX_WORD {
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
    static FILLERS: WordSet = WordSet::new(&[
        "n",
        "n°",
        "nº",
        "№",
        "nro",
        "numărul",
        "număr",
        "szám",
        "száma",
        "broj",
        "nummeret",
        "my",
        "your",
        "mein",
        "meine",
        "ihre",
        "votre",
        "mijn",
        "min",
        "mitt",
        "su",
        "mi",
        "son",
        "minha",
        "dátum",
        "dátuma",
        "data",
        "fecha",
        "date",
        "datum",
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
    ]);
    FILLERS.has(word)
}

const CUES: &[(Cue, &str)] = &[
    (Cue::Aadhaar, "aadhaar aadhar uid uidai आधार"),
    (Cue::Ahv, "ahv avs ahvn13 navs oasi nss sozialversicherungsnummer versichertennummer"),
    (
        Cue::Birth,
        "dob born birth birthday birthdate dateofbirth geboren geburtsdatum geburtstag geb geborene né née \
         naissance nacimiento nacido nacida nascimento nascido nascida nascita nato nata geboortedatum geboorte \
         urodzenia urodzony urodzona narození narozen narozena narodenia född födelsedatum født fødselsdato \
         syntymäaika syntynyt fødd születési рождения родился doğum γέννησης \
         födelsedag fødselsdag fechanacimiento datanascita născut născută nașterii született születésű \
         születésnap rođen rođena rođenja narodený narodená rojen rojena rojstva doğumlu gimimo dzimis \
         sündinud γεννήθηκε роден родена народився dateofborn dobirth geburtsdat",
    ),
    (Cue::Bsn, "bsn burgerservicenummer sofinummer sofi"),
    (
        Cue::Card,
        "card cc pan creditcard cardnumber cardno ccnum ccnumber kreditkarte kreditkartennummer kartennummer karte \
         carte tarjeta cartão cartao carta kaart kaartnummer creditcardnummer karta karty kort kortnummer kartnummer \
         luottokortti visa mastercard amex maestro карта карты \
         kártya kártyaszám cartea kartica kartice kartı kredi bankkort betalkort betaalkaart kaardi kortelės \
         κάρτα картата картку платёжная",
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
         curp rut tckn kimlik egn cnp emso oib jmbg amka personalnummer ausweisnummer isikukood \
         taj adóazonosító asmenskodas asmens personaskods αφμ αμκα afm matricule инн снилс егн \
         рнокпп sifra tcno tckimlik vergi dowodu osobistego",
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
         passaporto paspoort paspoortnummer paszport paszportu pas pasu passi passnr cestovní паспорт паспорта \
         passinumero passin útlevél útlevélszám pașaport pasaport putovnica putovnice potni pasaportu pasas \
         pase diavatirio διαβατήριο паспорту",
    ),
    (
        Cue::Patient,
        "patient patientid patientin mrn pat patiënt paciente paziente pacient pacjent patientnummer versichertennr \
         versichertennummer patientennummer patientennr krankenversichertennummer kvnr member memberid \
         subscriber beneficiary chart medical pasient potilas \
         potilasnumero journalnummer journalnr utente beteg pacientul pacijent bolnik hasta ασθενής пациент \
         paciento patsient",
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
         телефон тел звонок мобильный τηλέφωνο κινητό τηλ 电话 手机 電話 携帯 전화 هاتف फोन טלפון ruf tél \
         telefonszám mobilszám telefonul sunat mobitel cep puh puhelinnro telefoninumber \
         telefonas tālrunis kiváltott hívott kapcsolat kontaktszám llame llamado chiami telefonato telefonou \
         zavolal телефону дзвінок κιν",
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
         signora sig dhr mevr mevrouw meneer hr fru pani rouva herra don doña dott dott.ssa ing mag dipl univ sir dame \
         senhor senhora doamna domnul dl dna gospodin gospođa gospa bay bayan pán úr κύριος κυρία frøken \
         fröken",
    ),
    (
        Naming::Salutation,
        "dear geehrte geehrter geachte beste cher chère querido querida estimado estimada caro cara gentile prezado \
         prezada liebe lieber kære hej szanowny szanowna vážený vážená hyvä \
         hei bästa kedves tisztelt stimate stimată dragă sayın poštovani poštovana spoštovani αγαπητέ αγαπητή \
         уважаемый уважаемая gentilissimo gentilissima egregio herzlich",
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
         remitente acquirente comprador kupující клиент пациент \
         användare anställd innehavare mottagare avsändare bruger medarbejder indehaver modtager afsender \
         bruker ansatt mottaker potilas käyttäjä työntekijä vastaanottaja użytkownik nadawca uživatel \
         příjemce odesílatel ügyfél felhasználó pacientul utilizator angajat klijent kupac korisnik müşteri \
         kullanıcı πελάτης χρήστης utilizador funcionário intestatario pracownika klienta pacjenta zákazníka \
         pacienta klientki cliëntnaam verzekerde werkgever bezorger destinatária vendedor inquilino huurder \
         hyresgäst lejer leietaker",
    ),
    (
        Naming::NamePart,
        "firstname lastname surname forename fullname givenname familyname middlename maidenname vorname nachname \
         familienname prénom prenom apellido apellidos nombres cognome voornaam achternaam imię imie nazwisko \
         jméno jmeno příjmení prijmeni meno priezvisko förnamn efternamn fornavn etternavn efternavn etunimi sukunimi \
         sobrenome apelido geburtsname имя фамилия \
         tilltalsnamn mellannavn vezetéknév keresztnév prenume nume prezime priimek soyad soyadı όνομα \
         επώνυμο nomecompleto nomeecognome naamvoluit",
    ),
    (Naming::Name, "name nom nombre nome naam namn navn nimi nazwa"),
];

const KEYS: &[(Key, &str)] = &[
    (
        Key::Password,
        "password passwd passwort kennwort pwd passphrase passcode pass pw motdepasse mdp contraseña contrasena \
         clave senha wachtwoord hasło haslo heslo lösenord losenord salasana adgangskode passord userpassword \
         dbpassword pgpassword passwordhash пароль şifre parola jelszó 密码 パスワード 비밀번호 \
         lozinka zaporka geslo slaptažodis parool parole κωδικός парола kodeord hemmelighed palavrapasse \
         wachtzin wachtwoordzin",
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
    static WORDS: WordSet = WordSet::new(&[
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
        "jo",
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
    ]);
    WORDS.has(word)
}

/// Whether a word announces a value: it ends a name that stands before it.
pub(crate) fn announces(word: &str) -> bool {
    let mut announces = false;
    lexicon()
        .found(Text::new(word), 0, |found| announces |= matches!(found.lead, Lead::Cue(_) | Lead::Key(_)));
    announces
}
