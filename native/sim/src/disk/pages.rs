//! A file's bytes as shared pages: copies cost nothing until one side is written, and zeros are not stored.

use std::sync::Arc;

pub const PAGE: usize = 4096;
/// What a device writes as a whole.
pub const SECTOR: usize = 512;
pub(super) static ZEROS: [u8; PAGE] = [0; PAGE];

/// `None` is a page of zeros.
type Page = Option<Arc<[u8; PAGE]>>;

#[derive(Clone, Default)]
pub struct Pages {
    pages: Vec<Page>,
    length: u64,
}

impl Pages {
    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn count(&self) -> usize {
        self.pages.len()
    }

    pub fn set_len(&mut self, length: u64) {
        self.length = length;
        self.pages.resize((length as usize).div_ceil(PAGE), None);
    }

    pub fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let from = offset.min(self.length) as usize;
        let length = buffer.len().min(self.length as usize - from);
        let mut done = 0;
        while done < length {
            let (page, at) = ((from + done) / PAGE, (from + done) % PAGE);
            let part = (PAGE - at).min(length - done);
            buffer[done..done + part].copy_from_slice(&self.page(page)[at..at + part]);
            done += part;
        }
        length
    }

    pub fn write(&mut self, data: &[u8], offset: u64) {
        let end = offset + data.len() as u64;
        if end > self.length {
            self.set_len(end);
        }
        let mut done = 0;
        while done < data.len() {
            let (page, at) = ((offset as usize + done) / PAGE, (offset as usize + done) % PAGE);
            let part = (PAGE - at).min(data.len() - done);
            self.put(page, at, &data[done..done + part]);
            done += part;
        }
    }

    fn put(&mut self, page: usize, at: usize, data: &[u8]) {
        let slot = &mut self.pages[page];
        if data.len() == PAGE {
            *slot = if data == ZEROS { None } else { Arc::<[u8]>::from(data).try_into().ok() };
            return;
        }
        if slot.is_none() && *data == ZEROS[..data.len()] {
            return;
        }
        let page = Arc::make_mut(slot.get_or_insert_with(|| Arc::new(ZEROS)));
        page[at..at + data.len()].copy_from_slice(data);
    }

    pub fn page(&self, number: usize) -> &[u8; PAGE] {
        self.pages.get(number).and_then(Option::as_deref).unwrap_or(&ZEROS)
    }

    pub fn is_zero(&self, page: usize) -> bool {
        self.pages.get(page).is_none_or(Option::is_none)
    }

    /// Takes one page over from another version of the file.
    pub fn take_page(&mut self, from: &Pages, page: usize) {
        if page >= self.pages.len() {
            self.set_len(((page + 1) * PAGE) as u64);
        }
        self.pages[page] = from.pages.get(page).cloned().flatten();
    }

    pub fn take_sector(&mut self, from: &Pages, page: usize, sector: usize) {
        let at = sector * SECTOR;
        let bytes: [u8; SECTOR] = from.page(page)[at..at + SECTOR].try_into().unwrap_or([0; SECTOR]);
        if page >= self.pages.len() {
            self.set_len(((page + 1) * PAGE) as u64);
        }
        self.put(page, at, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written() {
        let (mut pages, mut plain) = (Pages::default(), vec![0u8; 4 * PAGE]);
        let mut random = crate::random::Random::new(3);
        for _ in 0..500 {
            let offset = random.between(0, 3 * PAGE as u64);
            let data: Vec<u8> = (0..random.between(1, PAGE as u64 + 9)).map(|at| (at as u8).wrapping_mul(7)).collect();
            let data = if random.chance(300) { vec![0; data.len()] } else { data };
            let before = pages.clone();
            pages.write(&data, offset);
            assert_eq!(before.read(&mut [0; 8], 0), before.len().min(8) as usize);
            plain[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
            let mut found = vec![0; pages.len() as usize];
            assert_eq!(pages.read(&mut found, 0), found.len());
            assert!(found == plain[..found.len()]);
        }
    }
}
