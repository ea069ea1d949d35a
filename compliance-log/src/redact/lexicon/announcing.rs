//! The words that announce a value, in the languages logs are written in.

use super::super::detect::secret::Key;
use super::super::words::WordSet;
use super::{Cue, Naming};

pub(super) const CUES: &[(Cue, &str)] = &[
    (Cue::Aadhaar, "aadhaar aadhar uidai आधार"),
    (Cue::Ahv, "ahv avs ahvn13 navs oasi nss sozialversicherungsnummer versichertennummer"),
    (
        Cue::Birth,
        "dob born birth birthday birthdate dateofbirth geboren geburtsdatum geburtstag geb geborene né née \
         naissance nacimiento nacido nacida nascimento nascido nascida nascita nato nata geboortedatum geboorte \
         urodzenia urodzony urodzona narození narozen narozena narodenia född födelsedatum født fødselsdato \
         syntymäaika syntynyt fødd születési рождения родился doğum γέννησης \
         födelsedag fødselsdag fechanacimiento datanascita născut născută nașterii született születésű \
         születésnap rođen rođena rođenja narodený narodená rojen rojena rojstva doğumlu gimimo dzimis \
         sündinud γεννήθηκε роден родена народився народження народилася нарадзіўся 生年月日 出生日期 생년월일 الميلاد \
         לידה जन्म ngàysinh lahir naixement jaiotze dateofborn dobirth geburtsdat bday",
    ),
    (Cue::Bsn, "bsn burgerservicenummer burgerservicenr sofinummer sofinr sofi"),
    (
        Cue::Call,
        "call called calling calls ring rang signal kontakt contact contacto contatto contato kom numer msg cell mobile",
    ),
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
    (Cue::Csc, "csc cid"),
    (Cue::Cvv, "cvv cvc cvv2 cvc2 kartenprüfnummer prüfnummer cryptogramme"),
    (Cue::Dni, "dni nif documento identidad"),
    (Cue::Ein, "ein fein employer"),
    (Cue::Fnr, "fødselsnummer fodselsnummer fnr personnummer fødselsnr"),
    (
        Cue::Geo,
        "lat latitude lon lng long longitude breitengrad längengrad coordinates coords gps geo location",
    ),
    (Cue::Hetu, "hetu henkilötunnus henkilotunnus"),
    (Cue::Iban, "iban"),
    (
        Cue::IdCard,
        "personalausweis personalausweisnummer ausweis ausweisnummer ausweisnr perso personalausweisnr",
    ),
    (Cue::Itin, "itin"),
    (Cue::Mac, "mac bssid hwaddr ether lladdr"),
    (Cue::Medicare, "medicare"),
    (Cue::Member, "member subscriber pat chart medical hasta"),
    (
        Cue::National,
        "ssn nationalid identitynumber idnumber nationalidentity identificatienummer identiteitsnummer ppsn \
         curp tckn kimlik cnp emso jmbg amka personalnummer ausweisnummer isikukood \
         taj adóazonosító asmenskodas asmens personaskods αφμ αμκα afm инн снилс егн \
         рнокпп sifra tcno tckimlik vergi dowodu osobistego マイナンバー 個人番号 身份证号 身份证",
    ),
    (Cue::Nhs, "nhs nhsnumber"),
    (Cue::Nie, "nie"),
    (Cue::Nif, "nif contribuinte nipc"),
    (Cue::Nino, "nino ni nin insurance"),
    (Cue::Nir, "nir insee sécu secu sociale vitale"),
    (Cue::Nrn, "rijksregister rijksregisternummer rijksregisternr nrn niss insz registre national"),
    (Cue::Pan, "pan pancard"),
    (Cue::Pass, "pass pas pase potni"),
    (
        Cue::Passport,
        "passport passportno passportnumber reisepass reisepassnummer passnummer passeport pasaporte passaporte \
         passaporto paspoort paspoortnummer paszport paszportu pasu passi passnr cestovní паспорт паспорта \
         passinumero passin útlevél útlevélszám pașaport pasaport putovnica putovnice pasaportu pasas \
         diavatirio διαβατήριο паспорту パスポート 旅券番号 护照 护照号 여권",
    ),
    (
        Cue::Patient,
        "patient patientid patientin mrn patiënt paciente paziente pacient pacjent patientnummer versichertennr \
         versichertennummer patientennummer patientennr krankenversichertennummer kvnr memberid \
         beneficiary pasient potilas \
         potilasnumero journalnummer journalnr utente beteg pacientul pacijent bolnik ασθενής пациент \
         paciento patsient 診察券番号",
    ),
    (Cue::Personnummer, "personnummer personnr pnr samordningsnummer"),
    (Cue::Pesel, "pesel peselu"),
    (
        Cue::Phone,
        "phone phonenumber telephone tel telefon telefoon telefono teléfono telefone téléphone telephon telefonnummer \
         telefoonnummer telefonnr telnr telno mobil mobiel mobiltelefon mobilnummer mobilní móvil movil mobilny \
         cellphone cellular celular cellulare handy handynummer handynr gsm fax telefax sms whatsapp \
         caller dial dialed dialled rufnummer rückruf angerufen anruf \
         rappeler joignable joindre appeler appel appelé portable fixe belde bellen gebeld \
         bereikbaar telefonu telefonní komórka komórkowy puhelin puhelinnumero matkapuhelin tlf telf tfn llamar \
         llamada llamó dzwonił zadzwonił dzwoniła volal volala soitti ringte ligar ligou chiamare chiamato chiamata recapito msisdn hotline texted ringde \
         телефон тел звонок мобильный τηλέφωνο κινητό τηλ 电话 手机 電話 携帯 전화 هاتف फोन טלפון ruf tél \
         telefonszám mobilszám telefonul sunat mobitel cep puh puhelinnro telefoninumber \
         telefonas tālrunis kiváltott hívott kapcsolat kontaktszám llame llamado chiami telefonato telefonou \
         zavolal телефону дзвінок κιν telemóvel natel festnetz mobilfunk rückrufnummer durchwahl 電話番号 手机号",
    ),
    (Cue::Pps, "pps"),
    (Cue::Rc, "rc číslo cislo"),
    (Cue::Register, "rut egn oib matricule"),
    (Cue::RodneCislo, "rodné rodne rč rodného"),
    (Cue::Rvnr, "rvnr sozialversicherungsnummer rentenversicherungsnummer svnr"),
    (Cue::Sin, "sin nas"),
    (Cue::Ssn, "ssn ssnumber socialsecurity socialsecuritynumber security"),
    (Cue::Svnr, "svnr svnummer sozialversicherungsnummer versicherungsnummer sv"),
    (
        Cue::Tax,
        "steuer steuerid steuernummer steueridentifikationsnummer idnr steueridnr identifikationsnummer idnummer",
    ),
    (Cue::Tfn, "tfn"),
    (Cue::Tin, "tin tax taxid taxpayer"),
    (Cue::Uid, "uid"),
    (Cue::Vat, "vat ust ustid ustidnr umsatzsteuer mwst vatid vatin vatnumber tva iva btw"),
];

pub(super) const NAMINGS: &[(Naming, &str)] = &[
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
         hei bästa kära bäste kjære kæri kæra kedves tisztelt stimate stimată dragă sayın poštovani poštovana spoštovani αγαπητέ αγαπητή \
         уважаемый уважаемая уважаеми шановний шановна gerbiamas gerbiama cienījamais cienījamā lugupeetud \
         gentilissimo gentilissima egregio herzlich",
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

pub(super) const KEYS: &[(Key, &str)] = &[
    (
        Key::Password,
        "password passwords passwd passwort kennwort pwd passphrase passcode pass pw motdepasse mdp contraseña contrasena \
         clave senha wachtwoord hasło haslo heslo lösenord losenord salasana adgangskode passord userpassword \
         dbpassword pgpassword passwordhash пароль şifre parola jelszó 密码 パスワード 비밀번호 \
         lozinka zaporka geslo slaptažodis parool parole κωδικός парола kodeord hemmelighed palavrapasse \
         wachtzin wachtwoordzin khẩu sandi laluan wagwoord lykilorð contrasenya contrasinal pasahitza \
         fjalëkalimi лозинка құпиясөз parol รหัสผ่าน סיסמה पासवर्ड المرور 口令 暗証番号 密碼 合言葉 パスコード \
         geheimzahl zugangscode losung paswoord toegangscode tunnussana passe answer",
    ),
    (
        Key::Pin,
        "pin otp totp mfa tan 2fa onetimecode onetimepassword verification bestätigungscode sicherheitscode einmalcode",
    ),
    (
        Key::Secret,
        "secret secrets clientsecret appsecret secretkey privatekey apikey apisecret accesskey accountkey signingkey \
         encryptionkey masterkey sharedaccesskey sharedkey hmackey seed mnemonic credential credentials webhooksecret \
         licensekey geheimnis geheim segreto secreto secreta",
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
    static OTHERS: WordSet = WordSet::new(&[
        "bypass",
        "compass",
        "encompass",
        "multipass",
        "onepass",
        "overpass",
        "renderpass",
        "singlepass",
        "surpass",
        "trespass",
        "underpass",
    ]);
    if word.len() < SHORTEST || OTHERS.has(word) {
        return None;
    }
    SUFFIXES.iter().find_map(|(suffix, key)| {
        let start = word.len().checked_sub(suffix.len())?;
        word.get(start..)?.eq_ignore_ascii_case(suffix.as_bytes()).then_some(*key)
    })
}

/// The fast no of [`secret_suffix`], told by a word's last letter.
#[inline]
pub(crate) fn may_end_suffix(letter: u8) -> bool {
    LAST.wrapping_shr(u32::from(letter)) & 1 != 0
}

/// What an identifier written as one word ends in if its value is a secret.
pub(crate) const SUFFIXES: &[(&str, Key)] = &[
    ("password", Key::Password),
    ("passwd", Key::Password),
    ("passwort", Key::Password),
    ("kennwort", Key::Password),
    ("pass", Key::Password),
    ("pwd", Key::Password),
    ("secret", Key::Secret),
    ("apikey", Key::Secret),
    ("token", Key::Token),
];

/// The fewest letters of such an identifier.
pub(crate) const SHORTEST: usize = 6;

/// The last letters of them, a bit each, `a` as bit 1.
const LAST: u32 = {
    let mut last = 0;
    let mut left = SUFFIXES;
    while let [(suffix, _), rest @ ..] = left {
        if let [.., letter] = suffix.as_bytes() {
            last |= 1_u32.wrapping_shl(*letter as u32);
        }
        left = rest;
    }
    last
};
