//! Who has things go wrong, by a seed: of the server, of the ways to it, and of the processes.

use crate::{
    cluster::Cluster,
    history::{self, Call},
    proxy::{Lost, Proxy, Towards},
    steps::{Fault, Seed},
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::time::sleep;

struct Node {
    proxy: Proxy,
    child: Child,
}

pub(crate) struct Nemesis<'c> {
    cluster: &'c Cluster,
    folder: PathBuf,
    nodes: Vec<Node>,
    /// Of processes that were started.
    started: usize,
    seed: u64,
    faults: Seed,
    pauses: Seed,
    /// Commits that were lost on the ways of processes that are gone.
    lost: usize,
}

impl<'c> Nemesis<'c> {
    pub(crate) fn start(cluster: &'c Cluster, folder: &Path, nodes: usize, seed: u64) -> Self {
        let (faults, pauses) = (Seed::of(seed, 1000), Seed::of(seed, 1001));
        let mut nemesis =
            Self { cluster, folder: folder.to_owned(), nodes: Vec::new(), started: 0, seed, faults, pauses, lost: 0 };
        for _ in 0..nodes {
            let proxy = Proxy::before(cluster.port());
            let child = nemesis.process(&proxy);
            nemesis.nodes.push(Node { proxy, child });
        }
        nemesis
    }

    fn process(&mut self, proxy: &Proxy) -> Child {
        let number = self.started;
        self.started += 1;
        let seed = self.seed.wrapping_add(u64::try_from(number).unwrap());
        let told = format!("{} {seed} {number} {}", proxy.port(), self.folder.display());
        Command::new(std::env::current_exe().unwrap())
            .args(["a_process_of_the_cluster", "--exact", "--nocapture"])
            .env("CLOVE_FAULTS_NODE", told)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn signal(&self, node: usize, signal: &str) {
        let child = self.nodes[node].child.id().to_string();
        assert!(Command::new("kill").args([signal, &child]).status().unwrap().success());
    }

    async fn pause(&mut self, from: u64, to: u64) {
        let millis = from + self.pauses.below(to - from);
        sleep(Duration::from_millis(millis)).await;
    }

    /// Has one thing go wrong, and go well again; which.
    pub(crate) async fn strike(&mut self) -> &'static str {
        self.pause(300, 1_000).await;
        let fault = Fault::next(&mut self.faults, self.nodes.len());
        match fault {
            Fault::Restart => self.cluster.restart(),
            Fault::KillBackends => self.cluster.kill_backends().await,
            Fault::Cut { node } => self.nodes[node].proxy.cut(),
            Fault::Silence { node } => self.nodes[node].proxy.silence(),
            Fault::Refuse { node } => {
                self.nodes[node].proxy.refuse(true);
                self.nodes[node].proxy.cut();
                self.pause(500, 3_000).await;
            }
            Fault::FreezeQuestions { node } => {
                self.nodes[node].proxy.freeze(Towards::Server, true);
                self.pause(500, 3_000).await;
            }
            Fault::FreezeAnswers { node } => {
                self.nodes[node].proxy.freeze(Towards::Client, true);
                self.pause(500, 3_000).await;
            }
            Fault::LoseAnswers { node, commits } => {
                self.nodes[node].proxy.lose(Lost::Answer, commits);
                self.pause(500, 900).await;
            }
            Fault::LoseCommits { node, commits } => {
                self.nodes[node].proxy.lose(Lost::Commit, commits);
                self.pause(500, 900).await;
            }
            Fault::LateCommits { node, commits } => {
                self.nodes[node].proxy.lose(Lost::Time, commits);
                self.pause(500, 900).await;
            }
            Fault::KillProcess { node } => {
                self.nodes[node].child.kill().unwrap();
                self.nodes[node].child.wait().unwrap();
                let proxy = Proxy::before(self.cluster.port());
                let child = self.process(&proxy);
                let before = std::mem::replace(&mut self.nodes[node], Node { proxy, child });
                self.lost += before.proxy.lost();
            }
            Fault::StopProcess { node } => {
                self.signal(node, "-STOP");
                self.pause(2_100, 3_500).await;
                self.signal(node, "-CONT");
            }
        }
        self.nodes.iter().for_each(|node| node.proxy.heal());
        fault.name()
    }

    /// How many commits were lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost + self.nodes.iter().map(|node| node.proxy.lost()).sum::<usize>()
    }

    /// Has all end in order; what they were told.
    pub(crate) fn end(mut self) -> Vec<Call> {
        for node in &mut self.nodes {
            drop(node.child.stdin.take());
        }
        for node in &mut self.nodes {
            assert!(node.child.wait().unwrap().success(), "a process failed; what it said is above");
        }
        let histories = (0..self.started).filter_map(|number| {
            // One that was killed while it started has none.
            let text = std::fs::read_to_string(self.folder.join(format!("history-{number}"))).ok()?;
            Some(history::read(number, &text))
        });
        histories.flatten().collect()
    }
}

impl Drop for Nemesis<'_> {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
    }
}
