//! Who is signed in: cookies that say nothing, kept in memory.

use crate::random;
use clove::Owner;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const COOKIE: &str = "gateway_session";
/// Where it goes over https alone: a browser takes it from nobody but this very host (RFC 6265bis section 4.1.3.2).
const SECURE_COOKIE: &str = "__Host-gateway_session";
/// How long a session lasts.
const LIFE: Duration = Duration::from_secs(12 * 3600);
/// The most sessions; the demonstration asks for no password, so anybody can make some. A new one takes the place of the oldest: nobody
/// is kept out.
const MOST: usize = 10_000;
/// The most of a person.
const MOST_OF_A_PERSON: usize = 16;

/// The sessions of this process. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Sessions {
    all: Arc<Mutex<HashMap<Digest, Session>>>,
    /// Whether browsers send the cookie over https alone.
    is_secure: bool,
}

/// Of a cookie's value: what is looked up cannot be guessed byte by byte, and memory has no cookie.
type Digest = [u8; 32];

struct Session {
    owner: Owner,
    until: Instant,
}

impl Sessions {
    pub(crate) fn new(is_secure: bool) -> Self {
        Self { is_secure, ..Self::default() }
    }

    /// Signs somebody in: the cookie to set.
    pub(crate) fn begin(&self, owner: Owner) -> Result<HeaderValue, String> {
        let token = random::token::<32>()?;
        let cookie = self.cookie(&token, LIFE)?;
        let now = Instant::now();
        let mut all = self.lock();
        all.retain(|_, session| session.until > now);
        make_room(&mut all, MOST_OF_A_PERSON, |session| session.owner == owner);
        make_room(&mut all, MOST, |_| true);
        all.insert(digest(&token), Session { owner, until: now + LIFE });
        Ok(cookie)
    }

    /// Whose session a request is of.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<Owner> {
        let all = self.lock();
        let session = all.get(&self.presented(headers)?)?;
        (session.until > Instant::now()).then(|| session.owner.clone())
    }

    /// Signs out: the cookie to set.
    pub(crate) fn end(&self, headers: &HeaderMap) -> Result<HeaderValue, String> {
        if let Some(digest) = self.presented(headers) {
            self.lock().remove(&digest);
        }
        self.cookie("", Duration::ZERO)
    }

    fn cookie(&self, token: &str, life: Duration) -> Result<HeaderValue, String> {
        let (name, secure) = (self.cookie_name(), if self.is_secure { "; Secure" } else { "" });
        let text = format!("{name}={token}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", life.as_secs());
        let mut cookie = HeaderValue::try_from(text).map_err(|error| error.to_string())?;
        cookie.set_sensitive(true);
        Ok(cookie)
    }

    fn cookie_name(&self) -> &'static str {
        if self.is_secure { SECURE_COOKIE } else { COOKIE }
    }

    /// The session cookie of a request.
    fn presented(&self, headers: &HeaderMap) -> Option<Digest> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.cookie_name()).map(|(_, token)| digest(token))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions(..)")
    }
}

/// Ends the oldest of some sessions where there are as many as there may be.
fn make_room(all: &mut HashMap<Digest, Session>, most: usize, is_one: impl Fn(&Session) -> bool) {
    let these = || all.iter().filter(|(_, session)| is_one(session));
    if these().count() >= most
        && let Some(oldest) = these().min_by_key(|(_, session)| session.until).map(|(digest, _)| *digest)
    {
        all.remove(&oldest);
    }
}

fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn sent(set: &HeaderValue) -> HeaderMap {
        let pair = set.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(format!("theme=dark; {pair}")).unwrap())])
    }

    #[test]
    fn a_session_is_its_owners_until_it_ends() {
        let sessions = Sessions::new(false);
        let ada = Owner::new("acme", "ada").unwrap();
        let cookie = sent(&sessions.begin(ada.clone()).unwrap());
        let other = sent(&sessions.begin(Owner::new("globex", "bob").unwrap()).unwrap());
        assert_eq!(sessions.of(&cookie), Some(ada));
        sessions.end(&cookie).unwrap();
        assert_eq!(sessions.of(&cookie), None);
        assert!(sessions.of(&other).is_some());
    }

    #[test]
    fn no_other_cookie_is_a_session() {
        let sessions = Sessions::new(false);
        sessions.begin(Owner::new("acme", "ada").unwrap()).unwrap();
        assert_eq!(sessions.of(&HeaderMap::new()), None);
        for value in ["gateway_session=", "gateway_session", "gateway_session=0123", "session=x"] {
            assert_eq!(sessions.of(&HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(value))])), None);
        }
    }

    #[test]
    fn whoever_signs_in_too_often_ends_the_oldest_sessions_of_that_person_alone() {
        let sessions = Sessions::new(false);
        let ada = Owner::new("acme", "ada").unwrap();
        let grace = sent(&sessions.begin(Owner::new("acme", "grace").unwrap()).unwrap());
        let all: Vec<_> = (0..MOST_OF_A_PERSON + 2).map(|_| sent(&sessions.begin(ada.clone()).unwrap())).collect();
        let lives: Vec<_> = all.iter().map(|cookie| sessions.of(cookie).is_some()).collect();
        let (gone, stays) = lives.split_at(2);
        assert!(gone.iter().all(|lives| !lives) && stays.iter().all(|lives| *lives), "{lives:?}");
        assert!(sessions.of(&grace).is_some());
    }

    #[test]
    fn however_many_sessions_there_are_another_person_can_sign_in() {
        let sessions = Sessions::new(false);
        let until = Instant::now() + LIFE;
        for place in 0..MOST {
            let owner = Owner::new("acme", format!("person-{place}")).unwrap();
            sessions
                .lock()
                .insert(digest(&place.to_string()), Session { owner, until: until + Duration::from_nanos(place as u64) });
        }
        let cookie = sent(&sessions.begin(Owner::new("globex", "bob").unwrap()).unwrap());
        assert!(sessions.of(&cookie).is_some());
        let all = sessions.lock();
        assert_eq!((all.len(), all.contains_key(&digest("0")), all.contains_key(&digest("1"))), (MOST, false, true));
    }

    #[test]
    fn over_https_the_cookie_is_this_very_hosts() {
        let sessions = Sessions::new(true);
        let cookie = sessions.begin(Owner::new("acme", "ada").unwrap()).unwrap();
        assert!(cookie.to_str().unwrap().starts_with("__Host-gateway_session=") && !cookie.to_str().unwrap().contains("Domain"));
        assert!(sessions.of(&sent(&cookie)).is_some());
        // One that another subdomain could have set is none.
        let planted = cookie.to_str().unwrap().replace("__Host-", "");
        assert_eq!(sessions.of(&sent(&HeaderValue::try_from(planted).unwrap())), None);
    }

    #[test]
    fn scripts_and_other_sites_do_not_get_the_cookie() {
        for (is_secure, end) in [(false, "HttpOnly; SameSite=Lax"), (true, "HttpOnly; SameSite=Lax; Secure")] {
            let cookie = Sessions::new(is_secure).begin(Owner::new("acme", "ada").unwrap()).unwrap();
            assert!(cookie.to_str().unwrap().ends_with(end) && cookie.is_sensitive());
        }
    }
}
