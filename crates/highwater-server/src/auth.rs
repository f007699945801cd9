//! Who is asking: bearer tokens, signed by keys that this server holds.
//!
//! A token is a JSON Web Token (RFC 7519). Each key has one algorithm, and a
//! token's must be its key's: nothing in a token chooses how it is checked. A
//! token that was checked once is remembered until it expires, so that the next
//! request costs a look-up.

mod keys;
mod token;

pub use keys::{Algorithm, Key, Keys, KeysError};
pub use token::{Claims, SERVICE_SCOPE, issue, verify};

use crate::clock::Clock;
use crate::domain::{Actor, UserId};
use crate::generations::{Generations, Weight};
use highwater_protocol::{Code, Refusal};
use parking_lot::Mutex;
use std::sync::Arc;

/// How far the clocks of whoever issues tokens and of this server may differ,
/// in seconds.
pub const LEEWAY_S: i64 = 30;

/// Who a valid token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What they may do.
    pub actor: Actor,
    /// The token's subject.
    pub subject: UserId,
}

/// A token that was found good.
#[derive(Debug)]
struct Checked {
    identity: Arc<Identity>,
    claims: Claims,
}

impl Weight for Checked {
    fn weight(&self) -> usize {
        1
    }
}

/// Checks tokens, and remembers those that it found good.
#[derive(Debug)]
pub struct Authenticator {
    keys: Keys,
    clock: Clock,
    checked: Mutex<Generations<Box<str>, Checked>>,
}

impl Authenticator {
    /// Checks tokens by `keys`, and remembers at least `remembered` of them, at
    /// most twice as many.
    #[must_use]
    pub fn new(keys: Keys, clock: Clock, remembered: usize) -> Self {
        Self {
            keys,
            clock,
            checked: Mutex::new(Generations::new(remembered)),
        }
    }

    /// Who an `authorization` header speaks for.
    ///
    /// # Errors
    /// `missing_token`, `invalid_token` or `expired_token`, at field
    /// `authorization`.
    pub fn authenticate(&self, authorization: Option<&[u8]>) -> Result<Arc<Identity>, Refusal> {
        self.check(authorization)
            .map_err(|no| no.at("authorization"))
    }

    fn check(&self, authorization: Option<&[u8]>) -> Result<Arc<Identity>, Refusal> {
        let Some(authorization) = authorization else {
            return Err(Refusal::new(
                Code::MissingToken,
                "send a token, as `authorization: Bearer TOKEN`",
            ));
        };
        let token = bearer(authorization).ok_or_else(|| {
            Refusal::new(
                Code::InvalidToken,
                "the authorization is not of the form `Bearer TOKEN`",
            )
        })?;
        let now_s = self.clock.now_ms().div_euclid(1_000);
        if let Some(checked) = self.checked.lock().recall(token) {
            checked.claims.check_time(now_s)?;
            return Ok(Arc::clone(&checked.identity));
        }
        let claims = verify(&self.keys, token, now_s)?;
        let identity = Arc::new(Identity::of(&claims)?);
        let checked = Checked {
            identity: Arc::clone(&identity),
            claims,
        };
        self.checked.lock().keep(token.into(), checked);
        Ok(identity)
    }
}

impl Identity {
    fn of(claims: &Claims) -> Result<Self, Refusal> {
        let subject = UserId::new(&claims.subject).map_err(|no| {
            Refusal::new(
                Code::InvalidToken,
                format!("the token's subject is no user id: {}", no.message),
            )
        })?;
        let actor = if claims.service {
            Actor::Service
        } else {
            Actor::User(subject.clone())
        };
        Ok(Self { actor, subject })
    }
}

/// The token of an `authorization` header.
fn bearer(authorization: &[u8]) -> Option<&str> {
    let (scheme, token) = str::from_utf8(authorization).ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    fn set_up() -> (Authenticator, Key, Arc<AtomicI64>) {
        let key = Key::generate("k", Algorithm::Hs256).unwrap();
        let now = Arc::new(AtomicI64::new(1_000_000));
        let clock = Arc::clone(&now);
        let clock = Clock::new(move || clock.load(Ordering::Relaxed));
        let keys = Keys::new(vec![key.clone()]).unwrap();
        (Authenticator::new(keys, clock, 10), key, now)
    }

    #[test]
    fn a_remembered_token_still_expires() {
        let (authenticator, key, now) = set_up();
        let token = issue(&key, "u1", None, 1_000, 60).unwrap();
        let header = format!("Bearer {token}");
        let check = || authenticator.authenticate(Some(header.as_bytes()));
        for _ in 0..2 {
            assert_eq!(check().unwrap().subject.as_str(), "u1");
        }
        now.store((1_060 + LEEWAY_S) * 1_000 - 1, Ordering::Relaxed);
        assert!(check().is_ok());
        now.store((1_060 + LEEWAY_S) * 1_000, Ordering::Relaxed);
        for _ in 0..2 {
            let no = check().unwrap_err();
            assert_eq!(
                (no.code, no.field.as_str()),
                (Code::ExpiredToken, "authorization")
            );
        }
    }

    #[test]
    fn a_scope_makes_a_service() {
        let (authenticator, key, _) = set_up();
        let token = issue(&key, "billing", Some(SERVICE_SCOPE), 1_000, 60).unwrap();
        let identity = authenticator
            .authenticate(Some(format!("bearer  {token}").as_bytes()))
            .unwrap();
        assert_eq!(identity.actor, Actor::Service);
    }

    #[test]
    fn a_header_that_holds_no_bearer_token_is_refused() {
        let (authenticator, key, _) = set_up();
        let code = |header: Option<&str>| {
            authenticator
                .authenticate(header.map(str::as_bytes))
                .unwrap_err()
                .code
        };
        assert_eq!(code(None), Code::MissingToken);
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Basic dTpw",
            "Bearer a.b.c",
            "Bearer x",
        ] {
            assert_eq!(code(Some(header)), Code::InvalidToken, "{header:?}");
        }
        let no_user = issue(&key, &"u".repeat(121), None, 1_000, 60).unwrap();
        assert_eq!(code(Some(&format!("Bearer {no_user}"))), Code::InvalidToken);
    }
}
