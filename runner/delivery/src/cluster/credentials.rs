//! Why credentials are refused: the server says only `Unauthorized`, so the end of their validity is read from them.

use base64::Engine;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::config::AuthInfo;
use secrecy::ExposeSecret;

/// When the credentials end, where they say so, and what they are.
fn end(credentials: &AuthInfo) -> Option<(&'static str, Timestamp)> {
    if let Some(certificate) = certificate(credentials) {
        return Some(("client certificate", not_after(&certificate)?));
    }
    let token = match (&credentials.token, &credentials.token_file) {
        (Some(token), _) => token.expose_secret().to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file).ok()?,
        (None, None) => return None,
    };
    Some(("token", token_end(token.trim())?))
}

/// The sentence for a refusal; `date` is the server's clock, as its answer's `Date` header has it.
pub(crate) fn why(credentials: &AuthInfo, date: Option<&str>) -> String {
    let now = date.and_then(|date| rfc2822::parse(date).ok()).map(|date| date.timestamp());
    match (end(credentials), now) {
        (Some((what, end)), Some(now)) if end < now => format!("the {what} expired {end}"),
        (Some((what, end)), _) => format!("the {what} is rejected (it is dated to be valid until {end})"),
        (None, _) if credentials.exec.is_some() => "what the credential plugin gave is rejected".to_owned(),
        (None, _) if credentials.token.is_some() || credentials.token_file.is_some() => {
            "the token is rejected".to_owned()
        }
        (None, _) => "the kubeconfig's user has no credentials that the cluster knows".to_owned(),
    }
}

/// The client certificate in DER.
fn certificate(credentials: &AuthInfo) -> Option<Vec<u8>> {
    let pem = match (&credentials.client_certificate_data, &credentials.client_certificate) {
        (Some(data), _) => base64::engine::general_purpose::STANDARD.decode(data).ok()?,
        (None, Some(file)) => std::fs::read(file).ok()?,
        (None, None) => return None,
    };
    let pem = String::from_utf8(pem).ok()?;
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(body).ok()
}

/// The end of an X.509 certificate's validity (RFC 5280, 4.1): certificate, its first part, past version, serial number,
/// signature and issuer, the second time.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&0xA0) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (tag, text, _) = element(element(validity)?.2)?;
    let text = std::str::from_utf8(text).ok()?;
    // UTCTime has two digits for the year: from 50 on they are of the last century.
    let text = match tag {
        0x17 if text >= "50" => format!("19{text}"),
        0x17 => format!("20{text}"),
        _ => text.to_owned(),
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// One DER element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
        (bytes.iter().take(4).fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `exp` of a JSON web token (RFC 7519).
fn token_end(token: &str) -> Option<Timestamp> {
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims["exp"].as_i64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_token_is_said_to_be_expired() {
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"exp":1763460000}"#);
        let token = format!("e30.{claims}.c2ln");
        let credentials = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        let said = why(&credentials, Some("Thu, 20 Nov 2025 10:00:00 GMT"));
        assert_eq!(said, "the token expired 2025-11-18T10:00:00Z");
        let earlier = why(&credentials, Some("Mon, 17 Nov 2025 10:00:00 GMT"));
        assert_eq!(earlier, "the token is rejected (it is dated to be valid until 2025-11-18T10:00:00Z)");
    }

    /// Of version 1, valid until 2055-11-18 10:00:00 (as GeneralizedTime), and of version 3, until 2025 (as UTCTime).
    const CERTIFICATES: [&str; 2] = [
        concat!(
            "MIIBOTCB4AIBBTAKBggqhkjOPQQDAjAoMRcwFQYDVQQKDA5zeXN0ZW06bWFzdGVyczENMAsGA1UEAwwEbGF0ZTAgFw0yNDAxMDEw",
            "MDAwMDBaGA8yMDU1MTExODEwMDAwMFowKDEXMBUGA1UECgwOc3lzdGVtOm1hc3RlcnMxDTALBgNVBAMMBGxhdGUwWTATBgcqhkjO",
            "PQIBBggqhkjOPQMBBwNCAATnCZ3OvRTFvzFYe/I+mcqJazFJDRYdJQSiWmF+H66QngYwgwJ5E1qg4MIy3feG6NNlVGR/i6DlhEhw",
            "5nWUabpcMAoGCCqGSM49BAMCA0gAMEUCIQCeMYDq/BMYiMQHscYlYcfq3OjiSqRmaecGsO0JNrlj1AIgbxfwxR9iQvamleL5sqAf",
            "DzrRgY+Hf46Si7scmnrfkz4=",
        ),
        concat!(
            "MIIBazCCARGgAwIBAgIBBzAKBggqhkjOPQQDAjAoMRcwFQYDVQQKDA5zeXN0ZW06bWFzdGVyczENMAsGA1UEAwwEbGF0ZTAeFw0y",
            "NDAxMDEwMDAwMDBaFw0yNTExMTgxMDAwMDBaMCgxFzAVBgNVBAoMDnN5c3RlbTptYXN0ZXJzMQ0wCwYDVQQDDARsYXRlMFkwEwYH",
            "KoZIzj0CAQYIKoZIzj0DAQcDQgAE5wmdzr0Uxb8xWHvyPpnKiWsxSQ0WHSUEolphfh+ukJ4GMIMCeRNaoODCMt33hujTZVRkf4ug",
            "5YRIcOZ1lGm6XKMsMCowCQYDVR0TBAIwADAdBgNVHQ4EFgQUCNW1dTyVkW+99/1nC8NTe8yrSqwwCgYIKoZIzj0EAwIDSAAwRQIg",
            "FkVvK24T7XJFQ+9xLIQFcDkcRUPKQOtttuGVdVgHqi8CIQDP45Co9dbJuyeFcgfBrFvocAWQIzIJBJYCk2tQC/Uvxg==",
        ),
    ];

    #[test]
    fn the_end_of_a_certificate_is_read_from_it() {
        let der = CERTIFICATES.map(|text| base64::engine::general_purpose::STANDARD.decode(text).unwrap());
        let ends = der.each_ref().map(|der| not_after(der).unwrap().to_string());
        assert_eq!(ends, ["2055-11-18T10:00:00Z", "2025-11-18T10:00:00Z"]);
        for der in &der {
            for length in 0..der.len() {
                let _ = not_after(&der[..length]);
            }
        }
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", CERTIFICATES[1]);
        let data = base64::engine::general_purpose::STANDARD.encode(pem);
        let credentials = AuthInfo { client_certificate_data: Some(data), ..AuthInfo::default() };
        let said = why(&credentials, Some("Thu, 20 Nov 2025 10:00:00 GMT"));
        assert_eq!(said, "the client certificate expired 2025-11-18T10:00:00Z");
    }

    #[test]
    fn broken_certificates_are_no_panic() {
        for bytes in [&[][..], &[0x30], &[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], &[0x30, 0x80], &[0x30, 0x02, 0x30, 0x00]]
        {
            assert_eq!(not_after(bytes), None);
        }
    }
}
