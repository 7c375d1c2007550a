use super::*;

/// A socket that takes everything; how many frames each write brought.
#[derive(Default, Clone)]
struct Writes(Rc<RefCell<Vec<usize>>>);

impl Wire for Writes {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.borrow_mut().push(slices.len());
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

#[test]
fn what_is_gathered_goes_out_in_one_write_and_what_comes_later_at_once() {
    let writes = Writes::default();
    let (client, born) = (kernel::random::session_id(), Timestamp::from_millis(0));
    let session = Session::new(client, Form::Json, Box::new(writes.clone()), Limits::default(), born);
    session.gather();
    session.reply(1, Outcome::Publish);
    session.deliver(&Bytes::from_static(b"event"));
    session.reply(2, Outcome::Publish);
    assert!(writes.0.borrow().is_empty());
    session.write_gathered();
    assert_eq!(*writes.0.borrow(), [3]);
    session.deliver(&Bytes::from_static(b"event"));
    assert_eq!(*writes.0.borrow(), [3, 1]);
    session.gather();
    session.write_gathered();
    assert_eq!(*writes.0.borrow(), [3, 1], "nothing was gathered");
}
