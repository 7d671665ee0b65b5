//! A whole life, and everything that was said on the way searched for what must never be said.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use chrono::TimeDelta;
#[cfg(feature = "serde")]
use clove::Expiry;
use clove::{
    ActiveLimit, Attempt, Clove, Edit, GuessLimit, Hashing, KeyId, ListAudit, ListKeys, Metadata, NewKey, Pepper, Policy,
    Requirement, Secret, Status, Store, sqlite::SqliteStore,
};
use clove_testkit::Fixture;
use std::{
    fmt::{Debug, Display, Write},
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::MakeWriter;

const PEPPER: &[u8; 32] = b"canary-pepper-canary-pepper-0000";
const METADATA: &str = r#"{"note":"canary-metadata"}"#;
const IMPORTED: &str = "canary-imported-secret";

/// Everything that was said.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<String>>);

impl Ear {
    fn hear(&self, said: impl Debug) {
        write!(self.0.lock().unwrap(), "{said:?}\n{said:#?}\n").unwrap();
    }
    fn read(&self, said: impl Debug + Display) {
        writeln!(self.0.lock().unwrap(), "{said}").unwrap();
        self.hear(said);
    }
    #[cfg(feature = "serde")]
    fn parse(&self, said: &impl serde::Serialize) {
        self.0.lock().unwrap().push_str(&serde_json::to_string(said).unwrap());
    }
}

impl std::io::Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Ear {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

async fn live(clove: &Clove, fixture: &Fixture, ear: &Ear) -> Vec<String> {
    let (owner, by) = (&fixture.owner, &fixture.by);
    let mut secrets = vec![IMPORTED.to_owned()];
    let new = NewKey::named("canary").unwrap().metadata(Metadata::new(METADATA).unwrap());
    let first = clove.create(owner, new.clone(), by).await.unwrap();
    ear.hear((&first, &new, by, owner));
    let credential = first.credential.unwrap();
    secrets.push(credential.secret().reveal().to_owned());
    ear.hear((&credential, credential.secret()));
    let id = first.key.id;

    let rotated = clove.rotate(owner, id, 1, TimeDelta::hours(1), by).await.unwrap();
    ear.hear(&rotated);
    secrets.push(rotated.credential.unwrap().secret().reveal().to_owned());
    let foreign = Secret::from_foreign(IMPORTED.into());
    ear.hear(&foreign);
    let imported = clove.import(owner, NewKey::named("moved in").unwrap(), foreign, by).await.unwrap();
    ear.hear(&imported);
    let own = Secret::from_foreign(secrets[1].clone());
    ear.read(clove.import(owner, NewKey::named("own").unwrap(), own, by).await.unwrap_err());
    ear.read(clove.create(owner, NewKey::named("third").unwrap(), by).await.unwrap_err());
    ear.read(clove.rotate(owner, id, 1, TimeDelta::zero(), by).await.unwrap_err());

    let required = Requirement::all_of(["models:read"]).unwrap();
    for secret in &secrets {
        for text in [secret.clone(), format!("{id};{secret}"), format!("{};{secret}", imported.key.id), format!("{secret}x")] {
            let attempt = Attempt::new(&text).requiring(&required).from_peer("canary");
            ear.hear(attempt);
            let verdict = clove.verify(attempt).await.unwrap();
            ear.hear(&verdict);
            if let Some(denial) = verdict.denied() {
                ear.read(denial);
            }
            ear.hear(clove.verify(&text).await.unwrap());
        }
    }
    clove.flush().await.unwrap();
    clove.disable(owner, id, by).await.unwrap();
    ear.hear(clove.verify(&secrets[1]).await.unwrap());
    clove.report_leaked(&secrets[2], by).await.unwrap();
    ear.read(clove.enable(owner, id, by).await.unwrap_err());
    ear.read(clove.get(owner, KeyId::new(clove.now())).await.unwrap_err());

    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(9)), by).await.unwrap();
    let gone = clove.create(owner, NewKey::named("gone").unwrap(), by).await.unwrap();
    ear.hear(clove.edit(owner, gone.key.id, 1, Edit::new().metadata(Metadata::new(METADATA).unwrap()), by).await.unwrap());
    ear.read(clove.edit(owner, gone.key.id, 1, Edit::new(), by).await.unwrap_err());
    clove.delete(owner, gone.key.id, by).await.unwrap();
    secrets.push(gone.credential.unwrap().secret().reveal().to_owned());
    ear.read(Metadata::new(format!("{METADATA}}}")).unwrap_err());
    ear.read(Pepper::new(2, &PEPPER[..31]).unwrap_err());
    ear.read(NewKey::named(format!("{}\n", secrets[1])).unwrap_err());
    ear.read(secrets[1].parse::<clove::Cursor>().unwrap_err());
    ear.read(secrets[1].parse::<KeyId>().unwrap_err());
    ear.hear(clove.close_owner(owner, by).await.unwrap());
    ear.read(clove.create(owner, new.clone(), by).await.unwrap_err());
    ear.read(clove.verify(&secrets[2]).await.unwrap().denied().unwrap());
    clove.reopen_owner(owner, by).await.unwrap();

    let keys = clove.list(owner, &ListKeys::default()).await.unwrap();
    let trail = clove.audit(owner, &ListAudit::default()).await.unwrap();
    #[cfg(feature = "serde")]
    {
        keys.items.iter().map(|key| (key.id, key.owner.clone(), key.status(clove.now()))).for_each(|said| ear.parse(&said));
        trail.items.iter().for_each(|event| ear.parse(event));
        // A key's metadata is in its own form, and only there.
        keys.items.iter().for_each(|key| ear.parse(&serde_json::to_string(key).unwrap().replace("canary-metadata", "")));
        ear.parse(&(clove.active_keys(owner).await.unwrap(), clove.policy().active_limit(), Expiry::Days(30)));
    }
    ear.hear((keys, trail, clove, clove.policy()));
    secrets
}

/// Without padding: what is said with it holds what is said without.
fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    let digits: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*last).collect();
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)).collect();
    bits.chunks(6)
        .map(|six| (0..6).fold(0, |sum, place| sum << 1 | six.get(place).unwrap_or(&0)))
        .map(|digit: u8| char::from(digits[usize::from(digit)]))
        .collect()
}

#[test]
fn the_search_knows_base64() {
    assert_eq!((base64(b"Man", b"+/"), base64(&[0xfb, 0xff], b"-_")), ("TWFu".into(), "-_8".into()));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn nothing_says_a_secret_a_digest_a_pepper_or_metadata() {
    let ear = Ear::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(ear.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the ear hears events");
    let folder = tempfile::tempdir().unwrap();
    let pepper = Pepper::new(1, PEPPER).unwrap();
    ear.hear(&pepper);
    let policy = Policy::builder().hashing(Hashing::hmac(pepper)).imports(GuessLimit::default()).build().unwrap();
    let store = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    let fixture = Fixture::on(store.clone(), policy).unwrap();
    let secrets = live(&fixture.clove, &fixture, &ear).await;

    let mut canaries = secrets.clone();
    canaries.extend([std::str::from_utf8(PEPPER).unwrap().to_owned(), "canary-metadata".to_owned()]);
    let mut digests = 0;
    for key in fixture.keys().await.unwrap() {
        let candidate = store.find_by_id(key.id).await.unwrap().unwrap();
        ear.hear(&candidate);
        for secret in candidate.secrets.iter() {
            let bytes = secret.digest.as_bytes();
            ear.hear((secret, secret.digest));
            canaries.extend([
                hex(bytes),
                format!("{bytes:?}"),
                hex(bytes).to_uppercase(),
                base64(bytes, b"+/"),
                base64(bytes, b"-_"),
                format!("{}, {}, {}", bytes[0], bytes[1], bytes[2]),
            ]);
            digests += 1;
        }
    }
    assert!(digests >= 2 && secrets.len() == 4);
    let said = ear.0.lock().unwrap().clone();
    assert!(
        said.contains("the ear hears events") && said.contains("not valid") && said.contains(&Status::Compromised.to_string())
    );
    for canary in canaries {
        // A part would be a leak as well.
        let part = &canary[..canary.len().min(20)];
        assert!(
            !said.contains(part),
            "said: …{}…",
            said.split(part).next().unwrap().chars().rev().take(200).collect::<String>().chars().rev().collect::<String>()
        );
    }
}
