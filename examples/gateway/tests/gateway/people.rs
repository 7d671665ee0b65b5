//! What people may do in their sessions, and from where.

use crate::support::{Answer, Program, Start, Upstream, by, curl};
use clove::{OrganizationId, Owner};
use std::process::Stdio;

async fn running() -> (Upstream, Program) {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).run().await;
    (upstream, program)
}

/// The header of a session that begins.
async fn session(program: &Program, organization: &str, person: &str) -> String {
    let choice = format!("organization={organization}&person={person}");
    let answer = curl(&[&format!("{}/sign-in", program.url), "-d", &choice], b"").await;
    assert_eq!(answer.status, 303, "{answer:?}");
    format!("cookie: {}", answer.header("set-cookie").split(';').next().unwrap())
}

async fn ask(program: &Program, path: &str, arguments: &[&str]) -> Answer {
    let url = format!("{}{path}", program.url);
    curl(&[&[&*url], arguments].concat(), b"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_that_is_cut_off_has_no_use_of_a_session() {
    let (_upstream, program) = running().await;
    let (ada, globex) = (session(&program, "acme", "ada").await, session(&program, "globex", "edsger").await);
    for session in [&ada, &globex] {
        assert_eq!(ask(&program, "/settings/api-keys", &["-H", session]).await.status, 200);
    }
    program.keys.close_owner(&Owner::new("acme", "ada").unwrap(), &by()).await.unwrap();
    program.keys.close_organization(&OrganizationId::new("globex").unwrap(), &by()).await.unwrap();
    for session in [&ada, &globex] {
        for path in ["/settings/api-keys", "/team", "/api/keys"] {
            let answer = ask(&program, path, &["-H", session]).await;
            assert_eq!(answer.status, 403, "{path} {answer:?}");
            assert!(answer.body.contains("cut off"), "{answer:?}");
        }
    }
    let reopening = ask(&program, "/api/members/ada/reopen", &["-X", "POST", "-H", &ada, "-H", "audit-reason: back"]).await;
    assert_eq!(reopening.status, 403, "{reopening:?}");
    assert!(!program.keys.is_open(&Owner::new("acme", "ada").unwrap()).await.unwrap());
    // Another one works on, and she may be let in again.
    let alan = session(&program, "acme", "alan").await;
    assert_eq!(ask(&program, "/settings/api-keys", &["-H", &alan]).await.status, 200);
    program.keys.reopen_owner(&Owner::new("acme", "ada").unwrap(), &by()).await.unwrap();
    assert_eq!(ask(&program, "/team", &["-H", &ada]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_of_an_organization_does_not_lift_its_usage_policy() {
    let (_upstream, program) = running().await;
    let ada = session(&program, "acme", "ada").await;
    let unlimited = r#"{"budget": "unlimited"}"#;
    let json = "content-type: application/json";
    let put = ["-X", "PUT", "-H", &ada, "-H", json, "-H", "audit-reason: more", "-d", unlimited];
    let answer = ask(&program, "/api/budgets/tokens", &put).await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_served_at_the_gateways_own_addresses_alone() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).with("--public-url", "https://keys.example").run().await;
    let port = program.said().split("listening at 127.0.0.1:").nth(1).unwrap().lines().next().unwrap().to_owned();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let own = ["keys.example", "KEYS.example", "keys.example:443"].map(str::to_owned);
    let own = own.into_iter().chain(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")));
    for host in own {
        let answer = curl(&[&url("/sign-in"), "-H", &format!("host: {host}")], b"").await;
        assert_eq!(answer.status, 200, "{host} {answer:?}");
    }
    let others =
        ["evil.example", "localhost", "localhost:1", "keys.example:80", "keys.example.evil.example", "me@keys.example", ""];
    for host in others.map(str::to_owned).into_iter().chain([format!("evil.example:{port}"), format!("keys.example:{port}")]) {
        for path in ["/", "/sign-in", "/settings/api-keys", "/team", "/api/keys"] {
            let answer = curl(&[&url(path), "-H", &format!("host: {host}")], b"").await;
            assert_eq!(answer.status, 421, "{host} {path} {answer:?}");
            assert!(answer.body.contains("--public-url"), "{answer:?}");
        }
        let header = format!("host: {host}");
        let signing_in = curl(&[&url("/sign-in"), "-H", &header, "-d", "organization=acme&person=ada"], b"").await;
        assert_eq!((signing_in.status.as_u16(), signing_in.header("set-cookie")), (421, ""), "{host}");
    }
    // The API needs a key, under whatever name it is reached.
    let models = curl(&[&url("/v1/models"), "-H", "host: evil.example"], b"").await;
    assert_eq!(models.status, 401, "{models:?}");
}

#[tokio::test]
async fn where_others_reach_it_the_demo_sign_in_is_not_for_anybody_unless_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.db");
    let start = |more: &[&str]| {
        let mut gateway = tokio::process::Command::new(env!("CARGO_BIN_EXE_gateway"));
        gateway.args(["--listen", "0.0.0.0:0", "--db", file.to_str().unwrap()]).args(more);
        gateway.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        gateway.spawn().unwrap()
    };
    let refused = tokio::time::timeout(std::time::Duration::from_secs(30), start(&[]).wait_with_output()).await;
    let refused = refused.expect("it runs").unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--demo-sign-in-for-anybody"));
    let mut running = start(&["--demo-sign-in-for-anybody"]);
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(running.stderr.take().unwrap()));
    assert!(lines.next_line().await.unwrap().unwrap().contains("listening at 0.0.0.0:"));
}
