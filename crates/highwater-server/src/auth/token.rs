//! Tokens: JSON Web Tokens (RFC 7519) in compact form, issued and checked.

use super::keys::{Key, Keys, Material};
use super::{Algorithm, LEEWAY_S};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ed25519_dalek::{Signature, Signer as _};
use highwater_protocol::{Code, Refusal};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The scope of a backend, which may act for anybody.
pub const SERVICE_SCOPE: &str = "service";

/// Bytes in a token.
const TOKEN_BYTES_MAX: usize = 4_096;

/// What a token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// The user, or the name of the service.
    pub subject: String,
    /// Whether it has the scope `service`.
    pub service: bool,
    /// From when on it is good, in seconds since 1970.
    not_before: Option<f64>,
    /// Until when it is good, in seconds since 1970.
    expires: f64,
}

#[derive(Serialize, Deserialize)]
struct WireHeader {
    alg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    /// Extensions that must be understood: none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct IssuedClaims<'a> {
    sub: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

#[derive(Deserialize)]
struct WireClaims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    scope: Option<String>,
}

impl Claims {
    /// Whether the token is good at this time, in seconds since 1970.
    ///
    /// # Errors
    /// `expired_token`.
    pub fn check_time(&self, now_s: i64) -> Result<(), Refusal> {
        // Seconds stay exact in a float for 285 million years.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        let (now, leeway) = (now_s as f64, LEEWAY_S as f64);
        if now >= self.expires + leeway {
            return Err(Refusal::new(
                Code::ExpiredToken,
                "the token has expired: get a new one",
            ));
        }
        if self.not_before.is_some_and(|from| now < from - leeway) {
            return Err(Refusal::new(
                Code::ExpiredToken,
                "the token is not good yet: check the clocks",
            ));
        }
        Ok(())
    }
}

/// Issues a token for `subject`, good for `ttl_s` seconds from `now_s` on.
///
/// `None`: the key can only check tokens.
#[must_use]
pub fn issue(
    key: &Key,
    subject: &str,
    scope: Option<&str>,
    now_s: i64,
    ttl_s: i64,
) -> Option<String> {
    let header = WireHeader {
        alg: key.algorithm().as_str().to_owned(),
        typ: Some("JWT".to_owned()),
        kid: Some(key.id().to_owned()),
        crit: None,
    };
    let claims = IssuedClaims {
        sub: subject,
        iat: now_s,
        exp: now_s.saturating_add(ttl_s),
        scope,
    };
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = match &key.material {
        Material::Hs256 { secret } => {
            let tag = hmac(secret, signed.as_bytes()).finalize();
            BASE64URL.encode(tag.into_bytes())
        }
        Material::EdDsa(halves) => {
            let signature = halves.private.as_ref()?.sign(signed.as_bytes());
            BASE64URL.encode(signature.to_bytes())
        }
    };
    Some(format!("{signed}.{signature}"))
}

fn encoded(part: &impl Serialize) -> String {
    let json = serde_json::to_vec(part)
        .unwrap_or_else(|error| unreachable!("a token is always JSON: {error}"));
    BASE64URL.encode(json)
}

fn hmac(secret: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mac = <Hmac<Sha256>>::new_from_slice(secret)
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.chain_update(message)
}

/// Checks a token's signature and time.
///
/// # Errors
/// `invalid_token`, `expired_token`.
pub fn verify(keys: &Keys, token: &str, now_s: i64) -> Result<Claims, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(invalid("the token is too long").limit(TOKEN_BYTES_MAX));
    }
    let parts = token.rsplit_once('.').and_then(|(signed, signature)| {
        let (header, claims) = signed.split_once('.')?;
        Some((signed, header, claims, signature))
    });
    let Some((signed, header, claims, signature)) = parts else {
        return Err(invalid("the token does not have three parts"));
    };
    let header: WireHeader = decoded(header)?;
    if header.crit.is_some() {
        return Err(invalid("the token has extensions that are not understood"));
    }
    let key = match &header.kid {
        Some(id) => keys
            .named(id)
            .ok_or_else(|| invalid("the token is signed with a key that is not known here"))?,
        None => keys
            .only()
            .ok_or_else(|| invalid("the token does not say which key it is signed with"))?,
    };
    if header.alg != key.algorithm().as_str() {
        return Err(invalid("the token's algorithm is not that of its key"));
    }
    let signature = BASE64URL
        .decode(signature)
        .map_err(|_| invalid("the token's signature is no base64url"))?;
    if !is_signed(key, signed.as_bytes(), &signature) {
        return Err(invalid("the token's signature is wrong"));
    }
    let claims: WireClaims = decoded(claims)?;
    let scopes = claims.scope.as_deref().unwrap_or_default();
    let claims = Claims {
        subject: claims.sub,
        service: scopes.split(' ').any(|scope| scope == SERVICE_SCOPE),
        not_before: claims.nbf,
        expires: claims.exp,
    };
    claims.check_time(now_s)?;
    Ok(claims)
}

fn is_signed(key: &Key, signed: &[u8], signature: &[u8]) -> bool {
    match &key.material {
        Material::Hs256 { secret } => hmac(secret, signed).verify_slice(signature).is_ok(),
        Material::EdDsa(halves) => Signature::from_slice(signature)
            .is_ok_and(|signature| halves.public.verify_strict(signed, &signature).is_ok()),
    }
}

fn decoded<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let json = BASE64URL
        .decode(part)
        .map_err(|_| invalid("a part of the token is no base64url"))?;
    serde_json::from_slice(&json)
        .map_err(|error| invalid(format!("a part of the token cannot be read: {error}")))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidToken, message)
}

impl Algorithm {
    /// Reads an algorithm's name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Hs256, Self::EdDsa]
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn keys() -> (Key, Key, Keys) {
        let hs = Key::generate("hs", Algorithm::Hs256).unwrap();
        let ed = Key::generate("ed", Algorithm::EdDsa).unwrap();
        let keys = Keys::new(vec![hs.clone(), ed.public_half().unwrap()]).unwrap();
        (hs, ed, keys)
    }

    fn code(keys: &Keys, token: &str) -> Code {
        verify(keys, token, NOW).unwrap_err().code
    }

    #[test]
    fn tokens_of_both_algorithms_are_good_until_they_expire() {
        let (hs, ed, keys) = keys();
        for key in [hs, ed] {
            let token = issue(&key, "u1", Some("a service"), NOW, 10).unwrap();
            let claims = verify(&keys, &token, NOW).unwrap();
            assert_eq!((claims.subject.as_str(), claims.service), ("u1", true));
            let last = NOW + 10 + LEEWAY_S - 1;
            assert!(verify(&keys, &token, last).is_ok());
            let no = verify(&keys, &token, last + 1).unwrap_err();
            assert_eq!(no.code, Code::ExpiredToken);
        }
        assert_eq!(issue(keys.named("ed").unwrap(), "u1", None, NOW, 10), None);
    }

    /// The HS256 example of RFC 7515, A.1: signed by others, without a `kid`.
    #[test]
    fn a_token_of_another_issuer_is_read() {
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
             eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
             dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let file = format!("[[keys]]\nid = 'joe'\nalgorithm = 'HS256'\nsecret = '{secret}'");
        std::fs::write(&path, file).unwrap();
        let keys = Keys::load(&path).unwrap();
        // The signature is right; what it lacks is a subject.
        let no = verify(&keys, token, 1_300_819_380).unwrap_err();
        assert!(no.message.contains("missing field `sub`"), "{}", no.message);
        let forged = format!("{}A", &token[..token.len() - 1]);
        let no = verify(&keys, &forged, 1_300_819_380).unwrap_err();
        assert!(!no.message.contains("sub"), "{}", no.message);
    }

    /// A token with any header and claims, signed with the secret of `key`.
    fn signed(key: &Key, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
        let Material::Hs256 { secret } = &key.material else {
            unreachable!("an HS256 key");
        };
        let tag = hmac(secret, signed.as_bytes()).finalize().into_bytes();
        format!("{signed}.{}", BASE64URL.encode(tag))
    }

    /// The signature is right each time; the header alone is at fault.
    #[test]
    fn a_tokens_algorithm_must_be_its_keys_even_under_a_good_signature() {
        let (hs, _, keys) = keys();
        let claims = format!(r#"{{"sub":"u","exp":{}}}"#, NOW + 10);
        let of = |header: &str| verify(&keys, &signed(&hs, header, &claims), NOW);
        assert!(of(r#"{"alg":"HS256","kid":"hs"}"#).is_ok());
        for header in [
            r#"{"alg":"none","kid":"hs"}"#,
            r#"{"alg":"HS512","kid":"hs"}"#,
            r#"{"alg":"hs256","kid":"hs"}"#,
            r#"{"alg":"EdDSA","kid":"hs"}"#,
            r#"{"alg":"HS256","kid":"hs","crit":["exp"]}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"kid":"hs"}"#,
        ] {
            assert_eq!(of(header).unwrap_err().code, Code::InvalidToken, "{header}");
        }
    }

    #[test]
    fn a_token_cannot_choose_how_it_is_checked() {
        let (hs, ed, keys) = keys();
        let token = issue(&hs, "u1", None, NOW, 10).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        for header in [
            r#"{"alg":"none","kid":"hs"}"#,
            r#"{"alg":"HS512","kid":"hs"}"#,
            r#"{"alg":"EdDSA","kid":"hs"}"#,
            r#"{"alg":"HS256","kid":"ed"}"#,
            r#"{"alg":"HS256","kid":"other"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"hs","crit":["exp"]}"#,
            "{}",
        ] {
            let forged = format!("{}.{rest}", BASE64URL.encode(header));
            assert_eq!(code(&keys, &forged), Code::InvalidToken, "{header}");
        }
        // The public key, which anybody may know, used as an HMAC secret.
        let Material::EdDsa(halves) = &ed.material else {
            unreachable!("an EdDSA key");
        };
        let secret = halves.public.as_bytes().to_vec();
        let confused = Key::generate("ed", Algorithm::Hs256).map(|key| Key {
            material: Material::Hs256 { secret },
            ..key
        });
        let token = issue(&confused.unwrap(), "u1", None, NOW, 10).unwrap();
        assert_eq!(code(&keys, &token), Code::InvalidToken);
    }

    #[test]
    fn changed_and_mangled_tokens_are_invalid() {
        let (hs, _, keys) = keys();
        let token = issue(&hs, "u1", None, NOW, 10).unwrap();
        let mut parts = token.split('.');
        let [header, _, signature] = [(); 3].map(|()| parts.next().unwrap());
        let claims = |json: &str| format!("{header}.{}.{signature}", BASE64URL.encode(json));
        let other = Key::generate("hs", Algorithm::Hs256).unwrap();
        for bad in [
            issue(&other, "u1", None, NOW, 10).unwrap(),
            claims(r#"{"sub":"u2","exp":9999999999}"#),
            token.replace('.', ""),
            token[..token.len() - 2].to_owned(),
            format!("{token}."),
            format!("{token}.{token}"),
            "..".to_owned(),
            "x".repeat(5_000),
        ] {
            assert_eq!(code(&keys, &bad), Code::InvalidToken, "{bad}");
        }
    }

    #[test]
    fn a_token_may_begin_later() {
        let (hs, _, keys) = keys();
        let header = r#"{"alg":"HS256","kid":"hs"}"#;
        let signed = |claims: &str| signed(&hs, header, claims);
        let later = signed(&format!(
            r#"{{"sub":"u","exp":{}.5,"nbf":{}}}"#,
            NOW + 1_000,
            NOW + LEEWAY_S + 1
        ));
        assert_eq!(code(&keys, &later), Code::ExpiredToken);
        assert!(verify(&keys, &later, NOW + 1).is_ok());
        assert_eq!(code(&keys, &signed(r#"{"sub":"u"}"#)), Code::InvalidToken);
    }
}
