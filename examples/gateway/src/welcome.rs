//! What the gateway says when it is ready: where to look, and what to paste.

use crate::{keys::Keys, organizations::Organizations};
use clove::{By, ListKeys, NewKey, Scope};
use std::io::Write;
use zeroize::Zeroizing;

/// Says it. A demo that has no keys yet gets one, whose secret is shown here and never again.
pub(crate) async fn say(keys: &Keys, organizations: &Organizations, public: &str, is_demo: bool) -> Result<(), String> {
    let made = if is_demo {
        first_key(keys, organizations).await.map_err(|error| format!("no key could be made: {error}"))?
    } else {
        None
    };
    let credential = made.as_ref().map_or("<API Key ID>;<Secret Key>", |made| made.as_str());
    let mut lines = Zeroizing::new(format!("The gateway is at {public}, its keys in {}.\n\n", keys.place()));
    lines.push_str(&format!("  Make keys:  {public}/settings/api-keys\n  The team:   {public}/team\n\n"));
    lines.push_str(if made.is_some() {
        "Here is a first key. It is shown this once; paste it where your client runs:\n\n"
    } else {
        "Paste this where your client runs, with a key that you made:\n\n"
    });
    lines.push_str(&format!("  export ANTHROPIC_BASE_URL={public}\n  export ANTHROPIC_API_KEY='{credential}'\n"));
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("nothing can be said: {error}"))
}

/// A key of the last person of the first organization, where that has none of any status. In the demonstration's own file that is
/// nobody but the key: whoever signs in finds a page without keys.
async fn first_key(keys: &Keys, organizations: &Organizations) -> Result<Option<Zeroizing<String>>, clove::Error> {
    let first = organizations.iter().find_map(|one| Some((one, one.people.last()?)));
    let Some((organization, person)) = first else { return Ok(None) };
    let (owner, clove) = (organization.owner(person)?, &keys.clove);
    let list = ListKeys { limit: Some(1), ..ListKeys::default() };
    let page = clove.list(Scope::from(&owner), &list).await?;
    if !page.items.is_empty() || !page.corrupt.is_empty() {
        return Ok(None);
    }
    let by = By::new("gateway", "a first key for the demonstration")?.may_grant(crate::keys::capabilities()?);
    let issued = clove.create(&owner, NewKey::named("first key")?, &by).await?;
    Ok(issued.credential.map(|credential| Zeroizing::new(credential.reveal().to_string())))
}
