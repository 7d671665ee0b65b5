//! Server-sent events, read as they pass by.

/// The longest event that is read; what is longer passes unread.
const MAX_BYTES: usize = 1 << 20;

/// Finds the events of a stream that comes in pieces, wherever it is cut.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The line that has begun; of an event that is too long, its first two bytes.
    line: Vec<u8>,
    line_bytes: usize,
    data: Vec<u8>,
    is_within: bool,
    is_too_long: bool,
    /// How many bytes of events that are too long have passed.
    unread: u64,
}

impl Events {
    /// Reads the next piece, tells the data of each event that ends in it, and says where the first of them ends.
    pub(crate) fn read(&mut self, piece: &[u8], mut told: impl FnMut(&[u8])) -> Option<usize> {
        let (mut place, mut first_end) = (0, None);
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            place += part.len();
            self.add(part);
            if part.ends_with(b"\n") && self.end_line() {
                if !self.data.is_empty() {
                    told(&self.data);
                }
                self.data.clear();
                (self.is_within, self.is_too_long) = (false, false);
                first_end = first_end.or(Some(place));
            }
        }
        first_end
    }

    /// How many bytes have passed unread, since their events were too long.
    pub(crate) fn unread(&self) -> u64 {
        self.unread
    }

    /// Whether the next byte begins an event: what is put in before it spoils none.
    pub(crate) fn is_between(&self) -> bool {
        !self.is_within
    }

    fn add(&mut self, part: &[u8]) {
        self.is_within = true;
        self.line_bytes += part.len();
        if self.line.len() + self.data.len() + part.len() > MAX_BYTES {
            // What was kept of it until now, and is no longer.
            let kept = if self.is_too_long { 0 } else { self.line.len() + self.data.len() };
            self.pass(kept);
            self.is_too_long = true;
            self.data.clear();
            self.line.truncate(2);
        }
        if self.is_too_long {
            self.pass(part.len());
        }
        let room = if self.is_too_long { 2_usize.saturating_sub(self.line.len()) } else { part.len() };
        self.line.extend(part.iter().take(room));
    }

    fn pass(&mut self, bytes: usize) {
        self.unread = self.unread.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Takes the line; whether it is the empty one that ends an event.
    fn end_line(&mut self) -> bool {
        let is_empty = self.line_bytes == 1 || self.line_bytes == 2 && self.line.starts_with(b"\r");
        if let Some(data) = self.line.strip_prefix(b"data:").filter(|_| !self.is_too_long) {
            let data = data.strip_suffix(b"\n").unwrap_or(data);
            let data = data.strip_suffix(b"\r").unwrap_or(data);
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
        self.line.clear();
        self.line_bytes = 0;
        is_empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pieces: &[&[u8]]) -> Vec<String> {
        let (mut events, mut all) = (Events::default(), Vec::new());
        for piece in pieces {
            events.read(piece, |data| all.push(String::from_utf8_lossy(data).into_owned()));
        }
        all
    }

    #[test]
    fn events_are_found_wherever_the_stream_is_cut() {
        let text = b"event: a\ndata: {\"a\":1}\n\n: a comment\n\nevent: b\r\ndata:one\r\ndata: two\r\n\r\ndata: unended\n";
        let expected = ["{\"a\":1}", "one\ntwo"];
        assert_eq!(told(&[text]), expected);
        assert_eq!(told(&text.chunks(1).collect::<Vec<_>>()), expected);
        for cut in 1..text.len() {
            let (before, after) = text.split_at(cut);
            assert_eq!(told(&[before, after]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn it_is_known_where_something_can_be_put_in_between() {
        let mut events = Events::default();
        assert!(events.is_between());
        assert_eq!(events.read(b"data: 1\n", |_| ()), None);
        assert!(!events.is_between());
        assert_eq!(events.read(b"\ndata: 2\n\ndata", |_| ()), Some(1));
        assert!(!events.is_between());
        assert_eq!(events.read(b": 3\n\n", |_| ()), Some(5));
        assert!(events.is_between());
    }

    #[test]
    fn an_event_without_end_takes_no_memory_and_the_next_is_read() {
        let mut events = Events::default();
        let mut all = Vec::new();
        events.read(b"data: ", |_| ());
        for _ in 0..64 {
            events.read(&[b'x'; MAX_BYTES / 16], |data| all.push(data.len()));
            events.read(b"\ndata: more", |data| all.push(data.len()));
        }
        assert!(events.line.capacity() + events.data.capacity() < 4 * MAX_BYTES);
        events.read(b"\n\ndata: next\n\n", |data| all.push(data.len()));
        assert_eq!(all, [4]);
        let passed = 64 * (MAX_BYTES / 16);
        let unread = usize::try_from(events.unread()).unwrap_or(0);
        assert!((passed..passed + 1024).contains(&unread), "{unread}");
    }
}
