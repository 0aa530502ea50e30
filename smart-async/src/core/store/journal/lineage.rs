//! How the journals of a folder follow one another. Each shortening puts a new file in place of the one before, and a view is of
//! one of them: what is known of their order tells a view that a journal has outgrown from one that knows more than the journal.

use uuid::Uuid;

use super::format::{self, Header};
use super::view_format::Position;

/// How many earlier journals a journal names.
const NAMED: usize = 100;

/// A journal among those that it continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lineage {
    pub(super) id: Uuid,
    /// The one that all of them go back to; the journal itself, where it continues none.
    pub(super) first: Uuid,
    /// How many there have been since the first.
    pub(super) number: u64,
    /// The latest ones that this one replaced and whose content it has, the latest last.
    after: Vec<Uuid>,
}

/// How a journal and a view belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreement {
    /// The journal has everything that the view shows.
    Whole,
    /// The view shows more of the journal than there is, or a later one that has continued it.
    LostEnd,
    /// Nothing tells which of the two has what the other has.
    Apart,
}

impl Lineage {
    /// The lineage of a journal with this first line.
    pub(super) fn of(header: Header) -> Self {
        let Header { journal: id, version: _, number, first, after } = header;
        // The first line of an earlier version names no first journal.
        let first = first.or_else(|| after.first().copied()).unwrap_or(id);
        Self { id, first, number, after }
    }

    /// The lineage of the first journal of a folder.
    pub(super) fn new() -> Self {
        let id = Uuid::new_v4();
        Self { id, first: id, number: 0, after: Vec::new() }
    }

    /// The lineage of a journal that has everything that this one has.
    pub(super) fn continued(&self) -> Self {
        let skipped = (self.after.len() + 1).saturating_sub(NAMED);
        let after = self.after.iter().skip(skipped).copied().chain([self.id]).collect();
        Self { id: Uuid::new_v4(), first: self.first, number: self.number + 1, after }
    }

    /// The lineage of a journal which has what could be saved of another one, and of a view. It continues neither in the eyes of a
    /// process that knows more; yet it has what any view shows so far.
    pub(super) fn salvaged(journal: Option<&Self>, view: Option<&Position>) -> Self {
        let of_view = view.map(|view| (view.first, view.number));
        let of_journal = journal.map(|journal| (journal.first, journal.number));
        let before = match (of_view, of_journal) {
            (Some(view), Some(journal)) if view.0 == journal.0 => Some(view.max(journal)),
            (view, journal) => view.or(journal),
        };
        match before {
            None => Self::new(),
            Some((first, number)) => {
                Self { id: Uuid::new_v4(), first, number: number + 1, after: Vec::new() }
            }
        }
    }

    /// Returns whether this is the other journal, or has its content.
    pub(super) fn continues(&self, other: &Self) -> bool {
        self.id == other.id || self.after.contains(&other.id)
    }

    /// How this journal belongs together with a view of another one.
    pub(super) fn agreement(&self, view: &Position) -> Agreement {
        if self.after.contains(&view.journal) {
            return Agreement::Whole;
        }
        if view.first != self.first {
            return Agreement::Apart;
        }
        let named = self.after.len() as u64;
        if view.number > self.number {
            Agreement::LostEnd
        } else if view.number + named < self.number {
            // It is older than those that this one names.
            Agreement::Whole
        } else {
            Agreement::Apart
        }
    }
}

impl From<Lineage> for Header {
    fn from(lineage: Lineage) -> Self {
        let Lineage { id: journal, first, number, after } = lineage;
        let first = (first != journal).then_some(first);
        Self { journal, version: format::VERSION, number, first, after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view_of(lineage: &Lineage) -> Position {
        let Lineage { id, first, number, .. } = *lineage;
        Position { journal: id, position: 1, first, number, reread: false }
    }

    /// A journal that has continued another so many times.
    fn continued(lineage: &Lineage, times: usize) -> Lineage {
        (0..times).fold(lineage.clone(), |lineage, _| lineage.continued())
    }

    #[test]
    fn a_journal_has_what_the_views_of_all_earlier_ones_show() {
        let first = Lineage::new();
        for times in [1, 99, 100, 101, 350] {
            let later = continued(&first, times);
            assert_eq!(later.agreement(&view_of(&first)), Agreement::Whole, "{times}");
            assert_eq!(first.agreement(&view_of(&later)), Agreement::LostEnd, "{times}");
            let header: Header = later.clone().into();
            assert_eq!(Lineage::of(header), later);
        }
    }

    #[test]
    fn journals_of_different_origin_or_that_parted_say_nothing_about_each_other() {
        let (first, other) = (Lineage::new(), Lineage::new());
        assert_eq!(first.agreement(&view_of(&other)), Agreement::Apart);
        let (one, two) = (continued(&first, 3), continued(&first, 2));
        assert_eq!(one.agreement(&view_of(&two)), Agreement::Apart);
    }

    #[test]
    fn a_salvaged_journal_continues_nothing_and_yet_has_what_views_show() {
        let journal = continued(&Lineage::new(), 2);
        let later = continued(&journal, 2);
        let salvaged = Lineage::salvaged(Some(&journal), Some(&view_of(&later)));
        assert!(!salvaged.continues(&journal) && !salvaged.continues(&later));
        for view in [&journal, &later] {
            assert_eq!(salvaged.agreement(&view_of(view)), Agreement::Whole);
        }
    }
}
