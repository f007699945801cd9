//! Tokens: whom they name, and where the next one comes from.

use crate::driver::{BoxFuture, Shared};
use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::lock::Mutex;
use std::sync::Arc;

/// Why a provider has no token.
pub type TokenFault = Box<dyn std::error::Error + Send + Sync>;

/// Gives a token: from the app's sign-in, a keychain, a server of its own.
pub trait TokenProvider: Shared {
    /// A token that is valid now. Called for the first request, and again when
    /// the server says that the last one is not valid any more.
    ///
    /// # Errors
    /// Whatever kept it from having one; the request is not sent then.
    fn token(&self) -> BoxFuture<'_, Result<String, TokenFault>>;
}

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum Source {
    Fixed(Arc<str>),
    Provider(Arc<dyn TokenProvider>),
}

/// The token in use, held to one user.
pub(crate) struct Tokens {
    source: Source,
    user: String,
    /// The app said who the user is: a token that names nobody will do.
    named_by_app: bool,
    current: Mutex<Option<Arc<str>>>,
}

impl Source {
    /// A new token.
    pub(crate) async fn fetch(&self) -> Result<Arc<str>, Error> {
        match self {
            Self::Fixed(token) => Ok(Arc::clone(token)),
            Self::Provider(provider) => match provider.token().await {
                Ok(token) => Ok(token.into()),
                Err(fault) => Err(Error::Token(fault.to_string().into())),
            },
        }
    }
}

impl Tokens {
    pub(crate) fn new(source: Source, user: String, named_by_app: bool) -> Self {
        Self {
            source,
            user,
            named_by_app,
            current: Mutex::new(None),
        }
    }

    /// The token in use.
    pub(crate) async fn current(&self) -> Result<Arc<str>, Error> {
        let mut current = self.current.lock().await;
        if let Some(token) = &*current {
            return Ok(Arc::clone(token));
        }
        let token = self.accept(self.source.fetch().await?)?;
        *current = Some(Arc::clone(&token));
        Ok(token)
    }

    /// Another token than `refused`; `None`: there is none.
    pub(crate) async fn renew(&self, refused: &Arc<str>) -> Result<Option<Arc<str>>, Error> {
        let mut current = self.current.lock().await;
        if let Some(token) = &*current
            && token != refused
        {
            return Ok(Some(Arc::clone(token)));
        }
        *current = None;
        let token = self.accept(self.source.fetch().await?)?;
        if token == *refused {
            return Ok(None);
        }
        *current = Some(Arc::clone(&token));
        Ok(Some(token))
    }

    /// A token of another user never leaves the device.
    fn accept(&self, token: Arc<str>) -> Result<Arc<str>, Error> {
        match subject(&token) {
            Ok(given) if given == self.user => Ok(token),
            Ok(given) => Err(Error::OtherUser {
                bound: self.user.clone(),
                given,
            }),
            Err(_) if self.named_by_app => Ok(token),
            Err(error) => Err(error),
        }
    }
}

/// The user that a JWT names in `sub`. The signature is the server's business.
pub(crate) fn subject(token: &str) -> Result<String, Error> {
    let nameless = |why: &str| Error::NamelessToken(why.into());
    let mut parts = token.split('.');
    let four = (parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(_), Some(claims), Some(_), None) = four else {
        return Err(nameless("it is not a JWT"));
    };
    let claims = URL_SAFE_NO_PAD
        .decode(claims.trim_end_matches('='))
        .map_err(|_| nameless("its claims are not base64url"))?;
    let claims: serde_json::Value =
        serde_json::from_slice(&claims).map_err(|_| nameless("its claims are not JSON"))?;
    match claims.get("sub").and_then(serde_json::Value::as_str) {
        Some(user) if !user.is_empty() => Ok(user.to_owned()),
        _ => Err(nameless("it has no claim `sub`")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn jwt(claims: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_names_its_user_or_the_error_says_why_not() {
        assert_eq!(subject(&jwt(r#"{"sub":"u1","exp":9}"#)).unwrap(), "u1");
        for (bad, why) in [
            ("opaque".to_owned(), "not a JWT"),
            ("a.b.c.d".to_owned(), "not a JWT"),
            ("a.!.c".to_owned(), "base64url"),
            (jwt("no"), "not JSON"),
            (jwt("{}"), "no claim `sub`"),
            (jwt(r#"{"sub":7}"#), "no claim `sub`"),
        ] {
            let error = subject(&bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    struct Counting(AtomicUsize);

    impl TokenProvider for Counting {
        fn token(&self) -> BoxFuture<'_, Result<String, TokenFault>> {
            let at = self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { Ok(jwt(&format!(r#"{{"sub":"u1","n":{at}}}"#))) })
        }
    }

    #[test]
    fn a_token_is_kept_until_it_is_refused_and_renewed_once_for_all_who_were() {
        let source = Source::Provider(Arc::new(Counting(AtomicUsize::new(0))));
        let tokens = Tokens::new(source, "u1".to_owned(), false);
        let first = block_on(tokens.current()).unwrap();
        assert_eq!(block_on(tokens.current()).unwrap(), first);
        let second = block_on(tokens.renew(&first)).unwrap().unwrap();
        assert_ne!(second, first);
        assert_eq!(block_on(tokens.renew(&first)).unwrap().unwrap(), second);
        assert_eq!(block_on(tokens.current()).unwrap(), second);
    }

    #[test]
    fn a_fixed_token_is_not_renewed_and_another_users_is_not_accepted() {
        let token: Arc<str> = jwt(r#"{"sub":"u2"}"#).into();
        let mine = Tokens::new(Source::Fixed(Arc::clone(&token)), "u2".to_owned(), false);
        assert_eq!(block_on(mine.renew(&token)).unwrap(), None);
        let others = Tokens::new(Source::Fixed(token), "u1".to_owned(), true);
        let error = block_on(others.current()).unwrap_err();
        assert!(
            matches!(error, Error::OtherUser { bound, given } if (bound.as_str(), given.as_str()) == ("u1", "u2"))
        );
        let opaque = |named| Tokens::new(Source::Fixed("opaque".into()), "u1".to_owned(), named);
        assert!(block_on(opaque(true).current()).is_ok());
        assert!(block_on(opaque(false).current()).is_err());
    }
}
