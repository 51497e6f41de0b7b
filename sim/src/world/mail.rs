use fau3_election::Datagram;

/// Datagrams under way, each stored once however many copies of it are
/// scheduled. Read where they lie: a heartbeat is copied into its place when it is sent,
/// and never again.
#[derive(Debug, Default)]
pub(super) struct Mail {
    letters: Vec<Letter>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Letter {
    /// Stays when the last copy has arrived, until its place is taken again.
    datagram: Datagram,
    copies: u32,
}

impl Mail {
    /// Takes a datagram in; the place is free again once it has been
    /// [`drop`](Self::drop)ped as often as it was [`keep`](Self::keep)ed, and once more.
    #[inline]
    pub(super) fn put(&mut self, datagram: Datagram) -> u32 {
        let letter = Letter { datagram, copies: 1 };
        match self.free.pop() {
            Some(index) => {
                self.letters[index as usize] = letter;
                index
            }
            None => {
                self.letters.push(letter);
                (self.letters.len() - 1) as u32
            }
        }
    }

    /// One more copy is under way.
    #[inline]
    pub(super) fn keep(&mut self, index: u32) {
        self.letters[index as usize].copies += 1;
    }

    /// One copy has arrived or was lost.
    #[inline]
    pub(super) fn drop(&mut self, index: u32) {
        let letter = &mut self.letters[index as usize];
        letter.copies -= 1;
        if letter.copies == 0 {
            self.free.push(index);
        }
    }

    /// The bytes of a datagram that is under way.
    #[inline]
    pub(super) fn bytes(&self, index: u32) -> &[u8] {
        self.letters[index as usize].datagram.as_bytes()
    }
}
