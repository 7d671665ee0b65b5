//! What is wrong with look-ups that are on their way at the same time.

use super::Fault;
use clove_core::{
    KeyId, MemoryStore, Store, StoreError,
    store::{Found, Lookup},
};
use std::{collections::HashMap, sync::Mutex};
use tokio::sync::oneshot::{self, Sender};

type Waiting = Mutex<Vec<(KeyId, Sender<Found>)>>;

/// Look-ups that the first of them makes for all.
#[derive(Default)]
pub(super) struct Mistakes {
    waiting: Waiting,
}

impl Mistakes {
    pub(super) async fn find_by_id(&self, fault: Fault, inner: &MemoryStore, id: KeyId) -> Found {
        if !matches!(fault, Fault::AnswersOneWaiter | Fault::LosesWhoWaitsAlong) {
            return inner.find_by_id(id).await;
        }
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap();
            waiting.push((id, answer));
            waiting.len() == 1
        };
        if is_first {
            let mut round = Round { fault, inner, waiting: &self.waiting, is_over: false };
            // Others come meanwhile.
            tokio::task::yield_now().await;
            round.is_over = true;
        }
        answered.await.unwrap_or(Err(StoreError::Unavailable { what: "waiting along", source: None }))
    }
}

/// Answers all that wait, once it is over or nobody is there any more to make it.
struct Round<'s> {
    fault: Fault,
    inner: &'s MemoryStore,
    waiting: &'s Waiting,
    is_over: bool,
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        if self.fault == Fault::LosesWhoWaitsAlong && !self.is_over {
            return;
        }
        let mut rows = HashMap::new();
        for (id, _) in &waiting {
            if let Lookup::Ready(Ok(Some(found))) = self.inner.find_by_id(*id) {
                rows.insert(*id, found);
            }
        }
        for (id, answer) in waiting {
            let found = if self.fault == Fault::AnswersOneWaiter { rows.remove(&id) } else { rows.get(&id).cloned() };
            let _ = answer.send(Ok(found));
        }
    }
}
