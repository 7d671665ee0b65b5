//! A command on the file, from the shell: who gives it, and to whom it goes.

use crate::{
    credential,
    ended::{Ended, Failure, usage},
    keys, look, owners,
    say::say,
    words::Words,
};
use clove::{Attempt, By, CapabilitySet, Clove, KeyId, Owner, Requirement, Role, Scope, Verdict};

/// One command with all that it is about.
pub(crate) struct Shell<'a> {
    pub(crate) clove: &'a Clove,
    pub(crate) words: &'a Words,
    pub(crate) scope: Scope,
    pub(crate) by: By,
    pub(crate) role: Role,
}

pub(crate) async fn run(clove: &Clove, words: &Words) -> Ended {
    let shell = Shell::new(clove, words)?;
    match words.command {
        "verify" => shell.verify().await,
        "report-leaked" => shell.report_leaked().await,
        "create" | "import" | "edit" | "rotate" | "disable" | "enable" | "revoke" | "flag" | "delete" => keys::run(&shell).await,
        "list" | "show" | "expiring" | "count" | "audit" => look::run(&shell).await,
        _ => owners::run(&shell).await,
    }
}

impl<'a> Shell<'a> {
    fn new(clove: &'a Clove, words: &'a Words) -> Ended<Self> {
        let (scope, actor) = match (words.option("owner"), words.option("organization")) {
            (Some(_), Some(_)) => return usage("--owner and --organization exclude each other."),
            (None, Some(organization)) => (Scope::Organization(clove::OrganizationId::new(organization)?), "administrator"),
            (owner, None) => match owner.unwrap_or("acme/ada").split_once('/') {
                Some((organization, account)) => (Scope::Owner(Owner::new(organization, account)?), account),
                None => return usage("--owner needs ORGANIZATION/ACCOUNT."),
            },
        };
        let role = match words.option("as").unwrap_or("administrator") {
            "administrator" => Role::Administrator,
            "owner" => Role::Owner,
            _ => return usage("--as needs owner or administrator."),
        };
        let reason = words.option("reason").unwrap_or("from the shell");
        let by = By::new(actor, reason)?.may_grant(CapabilitySet::all()).role(role);
        Ok(Self { clove, words, scope, by, role })
    }

    /// The one owner that the command is about.
    pub(crate) fn owner(&self) -> Ended<&Owner> {
        match &self.scope {
            Scope::Owner(owner) => Ok(owner),
            Scope::Organization(_) => usage(format!("{} is for one owner: name it by --owner.", self.words.command)),
        }
    }

    /// The key that the command is about.
    pub(crate) fn key(&self) -> Ended<KeyId> {
        Ok(KeyId::parse(self.words.word())?)
    }

    async fn verify(&self) -> Ended {
        let required = match self.words.option("requires") {
            None | Some("none") => Requirement::none(),
            Some(list) => Requirement::all_of(list.split(','))?,
        };
        let credential = credential::read("CLOVE_CREDENTIAL", "The credential")?;
        match self.clove.verify(Attempt::new(&credential).requiring(&required)).await? {
            Verdict::Granted(grant) => {
                let (owner, may) = (grant.owner(), grant.capabilities());
                let may = if may.is_empty() { "has no capabilities".to_owned() } else { format!("may do {may}") };
                say!("Granted to {}/{}, key {}, which {may}.", owner.organization, owner.account, grant.key_id());
                Ok(())
            }
            Verdict::Denied(denial) => Err(Failure::Refused(denial.to_string())),
        }
    }

    async fn report_leaked(&self) -> Ended {
        self.clove.report_leaked(credential::read("CLOVE_CREDENTIAL", "The credential")?, &self.by).await?;
        say!("Thank you. If that is a secret of this service, it is good for nothing from now on.");
        Ok(())
    }
}
