//! Secrets behind the words for them, in every form a name and its value are written in.

use compliance_log::redact::Redactor;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(Redactor::new().redact(text), expected);
}

/// Each text with `Quark77Blau` in it: nothing but that is replaced.
#[track_caller]
fn secret(placeholder: &str, texts: &[&str]) {
    for text in texts {
        assert!(text.contains("Quark77Blau"), "{text}");
        check(text, &text.replace("Quark77Blau", placeholder));
    }
}

#[track_caller]
fn kept(texts: &[&str]) {
    for text in texts {
        check(text, text);
    }
}

#[test]
fn a_field_named_after_a_secret_is_replaced_whole() {
    let redactor = Redactor::new();
    for (name, value, expected) in [
        ("password", "[hunter2]", "[PASSWORD]"),
        ("password", "<hunter2>", "[PASSWORD]"),
        ("password", "true", "[PASSWORD]"),
        ("password", r#"["Quark77"]"#, "[PASSWORD]"),
        ("db_password", r#"("a", "b")"#, "[PASSWORD]"),
        ("userPasswordHash", "x", "[PASSWORD]"),
        ("api_key", "abc123", "[SECRET]"),
        ("X-Api-Key", "a", "[SECRET]"),
        ("clientSecret", "1 2 3", "[SECRET]"),
        ("password", "[PASSWORD]", "[PASSWORD]"),
        ("password", "None", "None"),
        ("password", "", ""),
        ("password_length", "12", "12"),
        ("api_key_id", "k1", "k1"),
        ("secret_name", "db", "db"),
        ("cache_key", "user:7", "user:7"),
        ("pass", "12", "12"),
        ("seed", "42", "42"),
    ] {
        assert_eq!(redactor.redact_field(name, value), expected, "{name}={value}");
    }
}

#[cfg(feature = "json")]
#[test]
fn what_is_nested_under_a_name_is_named_by_it() {
    use serde_json::json;
    let mut value = json!({
        "password": {"current": "x", "next": ["y", {"z": "w"}]},
        "phone": {"number": "5551234567", "id": 5_551_234_567_u64}, "created": {"at": 5_551_234_567_u64},
    });
    Redactor::new().redact_json(&mut value);
    assert_eq!(
        value,
        json!({
            "password": {"current": "[PASSWORD]", "next": ["[PASSWORD]", {"z": "[PASSWORD]"}]},
            "phone": {"number": "[PHONE]", "id": 5_551_234_567_u64}, "created": {"at": 5_551_234_567_u64},
        })
    );
}

#[test]
fn the_parameters_of_an_authorization_are_its_value() {
    check(
        r#"Authorization: Digest username="u", realm="r", nonce="n", response="6629fae49393a053""#,
        "Authorization: Digest [BEARER]",
    );
    check(r#"authorization: Token token="6f1c9ab2d4e84771""#, "authorization: Token [BEARER]");
    check(
        r#"{"h":"Authorization: OAuth oauth_token=\"370773112-Gm\", oauth_signature=\"tnnArxj\"","n":1}"#,
        r#"{"h":"Authorization: OAuth [BEARER]","n":1}"#,
    );
    check(
        r#""GET / HTTP/1.1" "Authorization: Bearer 6f1c9ab2d4e84771" 200"#,
        r#""GET / HTTP/1.1" "Authorization: Bearer [BEARER]" 200"#,
    );
    check(
        "map[Authorization:[Bearer 6f1c9ab2d4e84771] Accept:[text/html]]",
        "map[Authorization:[Bearer [BEARER]] Accept:[text/html]]",
    );
}

#[test]
fn a_cookie_may_be_in_quotes() {
    check(r#"Cookie: sid="9ab3cd88ef01"; theme=dark"#, r#"Cookie: sid="[SESSION_ID]"; theme=dark"#);
    check(
        r#"{"cookie":"sid=\"9ab3cd88ef01\"; t=\"abcdef1\""}"#,
        r#"{"cookie":"sid=\"[SESSION_ID]\"; t=\"[COOKIE]\""}"#,
    );
}

#[test]
fn debug_forms_of_a_value() {
    secret(
        "[PASSWORD]",
        &[
            "Login { password: Some(Secret(\"Quark77Blau\")) }",
            "Login {\n    password: Some(\n        \"Quark77Blau\",\n    ),\n}",
            "password: String::from(\"Quark77Blau\")",
            "password: Cow::Borrowed(\"Quark77Blau\")",
            "password: b\"Quark77Blau\"",
            "password: r#\"Quark77Blau\"#",
            "Password(\"Quark77Blau\")",
            "login(DbPassword(\"Quark77Blau\"))",
            "map[user:[a] password:[Quark77Blau]]",
            "{password=[Quark77Blau]}",
            "[(\"user\", \"a\"), (\"password\", \"Quark77Blau\")]",
            "('password', 'Quark77Blau')",
            "[\"--user\", \"a\", \"--password\", \"Quark77Blau\"]",
            "password[0]=Quark77Blau",
        ],
    );
    kept(&[
        "InvalidPassword(\"is too short\")",
        "required: [\"user\", \"password\", \"email\"]",
        "[\"password\", \"secret\", \"token\"]",
        "password: [REDACTED], password: []",
        "user.password->len",
        "tokens: [101, 2054, 2003, 1996, 3007, 1997, 2605, 102]",
    ]);
}

#[test]
fn names_and_values_apart() {
    secret(
        "[PASSWORD]",
        &[
            r#"{"name":"DB_PASSWORD","value":"Quark77Blau"}"#,
            r#"{"value":1,"key": "password", "value": "Quark77Blau"}"#,
            "- name: DB_PASSWORD\n  value: Quark77Blau",
            r#"<add key="password" value="Quark77Blau"/>"#,
            r#"<entry key="password">Quark77Blau</entry>"#,
            r#"<property name="javax.persistence.jdbc.password" value="Quark77Blau"/>"#,
            r#"<input type="password" name="password" value="Quark77Blau">"#,
            r#"<password type="string">Quark77Blau</password>"#,
            "<ns1:password>Quark77Blau</ns1:password>",
        ],
    );
    kept(&[
        r#"{"name":"password","type":"string"}"#,
        r#"<input type="password" name="password">"#,
        r#"<password type="string"/>"#,
        r#"{"kind":"password","value":"min 8"}"#,
    ]);
}

#[test]
fn values_on_lines_and_behind_marks_of_their_own() {
    secret(
        "[PASSWORD]",
        &[
            "password:\n  Quark77Blau",
            "password: |\n  Quark77Blau",
            "password: >-\n    Quark77Blau",
            "\"password\":\n  \"Quark77Blau\"",
            "password: !!str Quark77Blau",
            "password: &pw Quark77Blau",
            "password\t=\tQuark77Blau",
            "password -> Quark77Blau",
        ],
    );
    kept(&["Password:\nLast login: today", "password:\n  required", "password: !vault |\n  other"]);
}

#[test]
fn names_written_as_one_word() {
    secret(
        "[PASSWORD]",
        &[
            "dbpass=Quark77Blau",
            "adminpwd=Quark77Blau",
            "Benutzerpasswort: Quark77Blau",
            "mypassword: Quark77Blau",
            "kundenkennwort=Quark77Blau",
        ],
    );
    check("\"webtoken\":\"a81bd7c3e94f4d0c9911\"", "\"webtoken\":\"[SECRET]\"");
    kept(&["bypass=Quark77Blau", "compass: Quark77Blau", "PWD=/home/app OLDPWD=/home", "pass=12 fail=0"]);
}

#[test]
fn words_for_a_password_in_many_languages() {
    secret(
        "[PASSWORD]",
        &[
            "mot de passe : Quark77Blau",
            "mot_de_passe=Quark77Blau",
            "palavra-passe: Quark77Blau",
            "contraseña nueva: Quark77Blau",
            "parola d'ordine: Quark77Blau",
            "パスワード：Quark77Blau",
            "合言葉: Quark77Blau",
            "pass phrase: Quark77Blau",
            "security answer: Quark77Blau",
        ],
    );
    check("verification code: 482913", "verification code: [PASSWORD]");
    check("verification_code=482913", "verification_code=[PASSWORD]");
    kept(&["il se passe : quelque chose", "answer: Quark77Blau", "verification: 482913"]);
}

#[test]
fn statements_of_sql() {
    secret(
        "[PASSWORD]",
        &[
            "CREATE USER a WITH PASSWORD 'Quark77Blau'",
            "ALTER ROLE a PASSWORD 'Quark77Blau' VALID UNTIL 'x'",
            "CREATE USER 'a'@'%' IDENTIFIED BY 'Quark77Blau'",
            "alter user a identified by \"Quark77Blau\"",
        ],
    );
    check("password='Quark''s Blau' AND x=1", "password='[PASSWORD]' AND x=1");
    kept(&["identified by its name", "password '' and password 'required'"]);
}

#[test]
fn arguments_of_programs() {
    secret(
        "[PASSWORD]",
        &[
            "--db-password Quark77Blau -v",
            "-Password Quark77Blau",
            "mysql -u root -pQuark77Blau -h db",
            "sshpass -p Quark77Blau ssh a@b",
            "sshpass -p 'Quark77Blau' ssh a@b",
            "docker login -u a -p Quark77Blau reg.example",
            "redis-cli -a Quark77Blau ping",
            "curl -sSu a:Quark77Blau https://h/",
            "curl --user \"a:Quark77Blau\" https://h/",
            "smbclient //h/s -U a%Quark77Blau",
            "PASS Quark77Blau",
            "ftp: > PASS Quark77Blau\r\n230 ok",
            "machine h login a password Quark77Blau",
        ],
    );
    check("--api-key a81bd7c3e94f4d0c9911 -v", "--api-key [SECRET] -v");
    check("AUTH PLAIN AG1hcnRhAFF1YXJrNzdCbGF1", "AUTH PLAIN [BASIC_AUTH]");
    kept(&[
        "mysql -u root -p orders",
        "docker run -p 8080:80 nginx",
        "docker login -u a -p",
        "redis-cli -h cache ping",
        "PASS src/login.test1.js",
        "PASS 1234",
        "--password-file /run/secrets/db --password -v",
        "curl -o out -u",
    ]);
}

#[test]
fn a_value_ends_where_its_quote_closes() {
    check(r#"{"password":"a\\","user":"b"}"#, r#"{"password":"[PASSWORD]","user":"b"}"#);
    check(r#"{"password":"a\"b","user":"b"}"#, r#"{"password":"[PASSWORD]","user":"b"}"#);
    check(
        r#"{"m":"{\"password\":\"a\\\\\",\"user\":\"b\"}"}"#,
        r#"{"m":"{\"password\":\"[PASSWORD]\",\"user\":\"b\"}"}"#,
    );
}

#[test]
fn what_is_no_secret_stays() {
    kept(&[
        "password: field required (type=value_error.missing)",
        r#"{"password":["This field may not be blank."]}"#,
        r#"{"errors":{"password":["is too short (minimum is 8 characters)"]}}"#,
        r#"{"password": "must not be empty"}"#,
        "password: ${{ secrets.DB_PASSWORD }}",
        "password=$DB_PASSWORD password=%s",
        "Cache restored from key: Linux-cargo-7f3a9c21d4e85b6a",
        "token: /var/run/secrets/kubernetes.io/serviceaccount/token",
        "private key: /etc/ssl/private/key.pem, ssh key: ~/.ssh/id_ed25519",
    ]);
}

#[test]
fn a_name_within_another_value_has_its_own() {
    for (text, expected) in [
        (r#"{password:hunter22,secret:"Geheim99xx"}"#, r#"{password:[PASSWORD]"[SECRET]"}"#),
        (r#"password: hunter22,secret: "Geheim99xx""#, r#"password: [PASSWORD]: "[SECRET]""#),
        ("password: hunter22,secret: Geheim99xx", "password: [PASSWORD]: [SECRET]"),
        ("password=hunter22/user[password]=Geheim99xx&x=1", "password=[PASSWORD]]=[PASSWORD]&x=1"),
        (r#"password=hunter22/secret="Geheim99xx""#, r#"password=[PASSWORD]"[SECRET]""#),
        (r#"7password"=hunter22[secret:"Geheim99xx""#, r#"7password"=[PASSWORD]"[SECRET]""#),
    ] {
        check(text, expected);
        check(expected, expected);
    }
    // In quotes, nothing of it is a name.
    check(r#"{"password":"my secret:","user":"x"}"#, r#"{"password":"[PASSWORD]","user":"x"}"#);
}
