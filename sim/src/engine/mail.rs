use fau3_election::Datagram;

/// Datagrams under way, each stored once however many copies of it are
/// scheduled. Read where they lie: a heartbeat is copied into its place when it is sent,
/// and never again.
#[derive(Debug, Default)]
pub(crate) struct Mail {
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
    /// Takes a datagram in. It stays until [`drop`](Self::drop)ped as often as
    /// [`keep`](Self::keep) says that there are copies of it.
    #[inline]
    pub(crate) fn put(&mut self, datagram: Datagram) -> u32 {
        let letter = Letter { datagram, copies: 0 };
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

    /// So many more copies are under way: none at all frees the place.
    #[inline]
    pub(crate) fn keep(&mut self, index: u32, copies: u32) {
        let letter = &mut self.letters[index as usize];
        letter.copies += copies;
        if letter.copies == 0 {
            self.free.push(index);
        }
    }

    /// One copy has arrived or was lost.
    #[inline]
    pub(crate) fn drop(&mut self, index: u32) {
        let letter = &mut self.letters[index as usize];
        letter.copies -= 1;
        if letter.copies == 0 {
            self.free.push(index);
        }
    }

    /// The bytes of a datagram that is under way.
    #[inline]
    pub(crate) fn bytes(&self, index: u32) -> &[u8] {
        self.letters[index as usize].datagram.as_bytes()
    }
}
