//! Waiting for what may be there in a moment, before anything dear is set up for a longer wait.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Gives the tasks that are to run now one turn, and returns what `future` has come to by then, if anything. Work that takes
/// microseconds in a task of its own has ended. A timer would cost it more than that task does: where no other timer runs,
/// setting one is a call of the system, to wake whoever sleeps until the next.
///
/// # Cancel safety
/// Dropping it loses nothing but what dropping `future` does.
pub(crate) async fn ready_after_yield<F: Future + ?Sized>(
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let mut had_its_turn = false;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if had_its_turn => Poll::Ready(None),
        Poll::Pending => {
            had_its_turn = true;
            // To the end of the queue, behind what is to run now.
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn what_a_task_does_in_one_turn_is_there() {
        let task = tokio::spawn(async { 7 });
        assert!(matches!(ready_after_yield(pin!(task)).await, Some(Ok(7))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_is_not_waited_for() {
        let began = tokio::time::Instant::now();
        let mut task = tokio::spawn(tokio::time::sleep(std::time::Duration::from_secs(1)));
        assert!(ready_after_yield(Pin::new(&mut task)).await.is_none());
        assert!(began.elapsed().is_zero());
        assert!(task.await.is_ok(), "it goes on");
    }
}
