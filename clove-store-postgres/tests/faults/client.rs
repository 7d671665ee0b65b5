//! One process of the cluster: a `Clove` of its own, and clients that record what it tells them.

use crate::{
    history::{Recorder, Told, What},
    steps::{Request, Seed, Step, UNITS},
};
use chrono::TimeDelta;
use clove_core::{
    ActiveLimit, Attempt, Budget, BudgetOf, By, Clove, Edit, Error, Fault, Grant, KeyId, LimitState, Limited, Limits, NewKey,
    OperationId, Owner, Policy, Refill, Refusal, Tier, TierName, Unit, Verdict, Window,
};
use clove_store_postgres::Options;
use std::{
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Active keys of an owner, places of a key and of an account in a second, and of each unit of an account.
pub(crate) const LIMIT: u64 = 2;
pub(crate) const OF_KEY: u64 = 8;
pub(crate) const OF_ACCOUNT: u64 = 12;
pub(crate) const BUDGET: u64 = 120;
/// Among how many of the newest keys one is picked.
const NEWEST: usize = 14;
/// How often an unknown outcome is asked for.
const ASKED: usize = 6;

pub(crate) fn unit(number: u64) -> Unit {
    Unit::new(format!("budget-{number}")).unwrap()
}

/// The tier of accounts whose requests are counted.
pub(crate) fn counted() -> TierName {
    TierName::new("counted").unwrap()
}

pub(crate) fn policy() -> Policy {
    let a_second = |count| Limits::new([Window::new(count, Duration::from_secs(1)).unwrap()]).unwrap();
    let tier = Tier { key: a_second(OF_KEY), account: Some(a_second(OF_ACCOUNT)) };
    let limit = ActiveLimit::AtMost(u32::try_from(LIMIT).unwrap());
    let policy = Policy::builder().active_limit(limit).max_records(None).max_creations_per_day(None);
    let policy = policy.limits(Tier::unlimited()).tier(counted(), tier);
    let budget = |policy: clove_core::policy::PolicyBuilder, number| {
        policy.budget(BudgetOf::Account, unit(number), Budget::new(BUDGET, Refill::Never).unwrap())
    };
    (0..UNITS).fold(policy, budget).build().unwrap()
}

/// Before the operation id by which a command is recorded, in the reason of one that was given none.
pub(crate) const BY_REASON: &str = "recorded as ";

pub(crate) fn by(operation: OperationId) -> By {
    By::new("client", "working").unwrap().operation(operation)
}

/// One whose command clove itself gives an operation id. Its reason tells how it is recorded.
fn by_without_id(operation: OperationId) -> By {
    By::new("client", format!("{BY_REASON}{operation}")).unwrap()
}

pub(crate) fn owner(name: impl std::fmt::Display) -> Owner {
    Owner::new("acme", name.to_string()).unwrap()
}

/// A secret that was told.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) key: KeyId,
    pub(crate) account: String,
    /// The key's revision when it was given.
    pub(crate) revision: u64,
    pub(crate) credential: String,
}

/// The secrets that all processes tell each other, in a file that each writes whole lines to.
pub(crate) struct Secrets {
    path: PathBuf,
    read: Mutex<(u64, Vec<Known>)>,
}

impl Secrets {
    pub(crate) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), read: Mutex::default() }
    }

    pub(crate) fn tell(&self, known: &Known) {
        let Known { key, account, revision, credential } = known;
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
        file.write_all(format!("{key} {account} {revision} {credential}\n").as_bytes()).unwrap();
    }

    /// All that were told until now, of accounts that are counted, or of the others.
    pub(crate) fn known(&self, is_counted: bool) -> Vec<Known> {
        let mut read = self.read.lock().unwrap();
        if let Ok(mut file) = std::fs::File::open(&self.path) {
            let mut text = String::new();
            file.seek(SeekFrom::Start(read.0)).unwrap();
            file.read_to_string(&mut text).unwrap();
            for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
                read.0 += u64::try_from(line.len()).unwrap() + 1;
                let words: Vec<&str> = line.split(' ').collect();
                let [key, account, revision, credential] = &*words else { panic!("not a secret") };
                let (key, revision) = (KeyId::parse(key).unwrap(), revision.parse().unwrap());
                let [account, credential] = [account, credential].map(|word| (*word).to_owned());
                read.1.push(Known { key, account, revision, credential });
            }
        }
        read.1.iter().filter(|known| known.account.starts_with("counted") == is_counted).cloned().collect()
    }

    fn pick(&self, is_counted: bool, pick: u64) -> Option<Known> {
        let known = self.known(is_counted);
        let newest = known.get(known.len().saturating_sub(NEWEST)..)?;
        let place = usize::try_from(pick % u64::try_from(newest.len().max(1)).unwrap()).unwrap();
        newest.get(place).cloned()
    }
}

/// What a process needs to know.
pub(crate) struct Client {
    clove: Clove,
    recorder: Recorder,
    secrets: Secrets,
}

/// Runs until its input ends, and then hears out what it has begun.
pub(crate) async fn run(port: u16, seed: u64, folder: &Path, number: usize) {
    let url = crate::cluster::Cluster::url(port);
    let store = loop {
        // The server may be on its way up, or out of reach.
        match Options::url(&url).unwrap().connections(8).open().await {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let clove = Clove::new(store, policy());
    tokio::spawn(clove.maintenance().run(|_| {}));
    let recorder = Recorder::create(&folder.join(format!("history-{number}")));
    let client = Client { clove, recorder, secrets: Secrets::of(&folder.join("secrets")) };
    let ends = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let ends = Arc::clone(&ends);
        move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            ends.store(true, Ordering::SeqCst);
        }
    });
    let part = async |part: u64| {
        let mut seed = Seed::of(seed, part);
        while !ends.load(Ordering::SeqCst) {
            let pause = match part {
                0 => client.step(Step::next(&mut seed)).await,
                1 | 2 => client.check(seed.next()).await,
                _ => client.request(Request::next(&mut seed)).await,
            };
            tokio::time::sleep(pause).await;
        }
    };
    tokio::join!(part(0), part(1), part(2), part(3));
    let call = client.recorder.begins(&What::Flush);
    let told = if client.clove.shut_down().await.is_ok() { Told::Done(String::new()) } else { Told::Fault };
    client.recorder.ends(call, &told);
}

fn told<T>(result: &Result<T, Error>, done: impl FnOnce(&T) -> String) -> Told {
    match result {
        Ok(value) => Told::Done(done(value)),
        Err(Error::Refused(Refusal::NotFound)) => Told::Gone,
        Err(Error::Refused(_)) => Told::Refused,
        Err(Error::Store(_) | Error::Fault(_)) => Told::Fault,
        Err(Error::OutcomeUnknown { .. }) => Told::Unknown,
        Err(other) => panic!("{other:?}"),
    }
}

fn windows(grant: &Grant) -> Vec<(String, u64)> {
    let name = |state: LimitState| {
        let whose = match state.of {
            Limited::Key => grant.key_id().to_string(),
            Limited::Account => grant.owner().account.as_str().to_owned(),
        };
        (format!("{whose}/{}", state.resets_at.timestamp()), state.window.count())
    };
    grant.limits().map(name).collect()
}

impl Client {
    /// Does a command, and asks again under its operation id while its outcome is unknown.
    async fn command<T>(
        &self,
        action: &str,
        about: &str,
        done: impl Fn(&T) -> String,
        work: impl AsyncFn(By) -> Result<T, Error>,
    ) -> Option<T> {
        self.command_by(by, action, about, done, work).await
    }

    /// The same by an actor that is made of the operation id that it is recorded by, and may be given none.
    async fn command_by<T>(
        &self,
        by: fn(OperationId) -> By,
        action: &str,
        about: &str,
        done: impl Fn(&T) -> String,
        work: impl AsyncFn(By) -> Result<T, Error>,
    ) -> Option<T> {
        let operation = OperationId::new(self.clove.now());
        let mut by = by(operation);
        let (action, about) = (action.to_owned(), about.to_owned());
        let what = What::Command { action, operation: operation.to_string(), about };
        for _ in 0..ASKED {
            let call = self.recorder.begins(&what);
            let result = work(by.clone()).await;
            let told = told(&result, &done);
            self.recorder.ends(call, &told);
            match result {
                Err(Error::OutcomeUnknown { operation, .. }) => by = by.operation(operation),
                result => return result.ok(),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    async fn step(&self, step: Step) -> Duration {
        match step {
            Step::Create { owner: number } => {
                let account = format!("owner-{number}");
                let owner = owner(&account);
                let create = async |by| self.clove.create(&owner, NewKey::named("a key").unwrap(), &by).await;
                let done = |issued: &clove_core::Issued| issued.key.id.to_string();
                let by = if number % 2 == 0 { by } else { by_without_id };
                let issued = self.command_by(by, "create", &account, done, create).await;
                if let Some((key, credential)) = issued.and_then(|issued| Some((issued.key, issued.credential?))) {
                    let credential = credential.reveal().to_string();
                    self.secrets.tell(&Known { key: key.id, account, revision: 1, credential });
                }
            }
            Step::Close { owner: number } => {
                let account = format!("owner-{number}");
                let owner = owner(&account);
                let close = async |by| self.clove.close_owner(&owner, &by).await;
                self.command("close_owner", &account, |_| String::new(), close).await;
            }
            Step::Reopen { owner: number } => {
                let account = format!("owner-{number}");
                let owner = owner(&account);
                let reopen = async |by| self.clove.reopen_owner(&owner, &by).await;
                self.command("reopen_owner", &account, |_| String::new(), reopen).await;
            }
            Step::Disable { pick }
            | Step::Enable { pick }
            | Step::Revoke { pick }
            | Step::Delete { pick }
            | Step::Rotate { pick }
            | Step::Edit { pick } => {
                if let Some(known) = self.secrets.pick(false, pick) {
                    self.command_of_key(step, &known).await;
                }
            }
        }
        Duration::from_millis(4)
    }

    async fn command_of_key(&self, step: Step, known: &Known) {
        let (owner, key, clove) = (owner(&known.account), known.key, &self.clove);
        let about = key.to_string();
        let nothing = String::new;
        match step {
            Step::Disable { .. } => {
                self.command("disable", &about, |_| nothing(), async |by| clove.disable(&owner, key, &by).await).await;
            }
            Step::Enable { .. } => {
                self.command("enable", &about, |_| nothing(), async |by| clove.enable(&owner, key, &by).await).await;
            }
            Step::Revoke { .. } => {
                self.command("revoke", &about, |_| nothing(), async |by| clove.revoke(&owner, key, &by).await).await;
            }
            Step::Delete { .. } => {
                self.command("delete", &about, |()| nothing(), async |by| clove.delete(&owner, key, &by).await).await;
            }
            Step::Rotate { .. } => {
                let Ok(before) = clove.get(&owner, key).await else { return };
                let rotate = async |by| clove.rotate(&owner, key, before.revision, TimeDelta::zero(), &by).await;
                let revision = (before.revision + 1).to_string();
                let rotated = self.command("rotate", &about, |_| revision.clone(), rotate).await;
                if let Some(credential) = rotated.and_then(|rotated| rotated.credential) {
                    let (account, credential) = (known.account.clone(), credential.reveal().to_string());
                    self.secrets.tell(&Known { key, account, revision: before.revision + 1, credential });
                }
            }
            _ => {
                let Ok(before) = clove.get(&owner, key).await else { return };
                let name = clove_core::Name::new(format!("edited {}", before.revision)).unwrap();
                let edit = async |by| clove.edit(&owner, key, before.revision, Edit::new().name(name.clone()), &by).await;
                let revision = (before.revision + 1).to_string();
                self.command("edit", &about, |_| revision.clone(), edit).await;
            }
        }
    }

    async fn check(&self, pick: u64) -> Duration {
        if let Some(known) = self.secrets.pick(false, pick) {
            let what = What::Check { key: known.key.to_string(), revision: known.revision };
            let call = self.recorder.begins(&what);
            let verdict = self.clove.verify(Attempt::new(&known.credential).only_checking()).await;
            self.recorder.ends(call, &self.verdict(&verdict, 0));
        }
        Duration::from_millis(2)
    }

    fn verdict(&self, verdict: &Result<Verdict, Fault>, used: u64) -> Told {
        match verdict {
            Ok(Verdict::Granted(grant)) => Told::Granted { windows: windows(grant), used },
            Ok(Verdict::Denied(_)) => Told::Refused,
            Err(_) => Told::Fault,
        }
    }

    async fn verify(&self, what: &What, attempt: Attempt<'_>, used: u64) -> Option<Grant> {
        let call = self.recorder.begins(what);
        let verdict = self.clove.verify(attempt).await;
        self.recorder.ends(call, &self.verdict(&verdict, used));
        verdict.ok()?.granted()
    }

    async fn request(&self, request: Request) -> Duration {
        match request {
            Request::Verify { pick } => {
                let Some(known) = self.secrets.pick(true, pick) else { return Duration::from_millis(50) };
                self.verify(&What::Verify { key: known.key.to_string() }, Attempt::new(&known.credential), 0).await;
            }
            Request::Record { pick, total } => {
                let Some(known) = self.secrets.pick(true, pick) else { return Duration::from_millis(50) };
                let what = What::Verify { key: known.key.to_string() };
                let Some(grant) = self.verify(&what, Attempt::new(&known.credential), 0).await else { return Duration::ZERO };
                // A unit of its own, so that its part of the sums can be told.
                let unit = Unit::new(format!("u-{}", grant.id())).unwrap();
                for total in [total, total - 1, total + 1] {
                    let call = self.recorder.begins(&What::Record { unit: unit.as_str().to_owned(), total });
                    let done = self.clove.record_durably(&grant, &unit, total).await.is_ok();
                    self.recorder.ends(call, &if done { Told::Done(String::new()) } else { Told::Unknown });
                }
            }
            Request::Reserve { pick, unit: number, amount, used } => {
                let Some(known) = self.secrets.pick(true, pick) else { return Duration::from_millis(50) };
                let unit = unit(number);
                let what = What::Reserve { budget: format!("{}/{unit}", known.account) };
                let attempt = Attempt::new(&known.credential).reserving(&unit, amount);
                // From its answer on it may use so much, and it may be killed before or after the store knows.
                let Some(grant) = self.verify(&what, attempt, used).await else { return Duration::ZERO };
                let _ = self.clove.settle_durably(&grant, used).await;
            }
            Request::Flush => {
                let call = self.recorder.begins(&What::Flush);
                let told = if self.clove.flush().await.is_ok() { Told::Done(String::new()) } else { Told::Fault };
                self.recorder.ends(call, &told);
            }
        }
        Duration::from_millis(3)
    }
}
