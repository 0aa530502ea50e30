//! A wait for a future that may be ready in a moment, before the caller sets up timers for a longer wait.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Gives the tasks that are ready one turn, and returns the output of `future` if it is ready by then. A body that takes
/// microseconds in a task of its own has ended then. A timer would cost more than that task: where no other timer is set, setting
/// one is a system call that wakes the thread which sleeps until the next timer.
///
/// # Cancel safety
/// Dropping the returned future has the effect of dropping `future`, and no other.
pub(crate) async fn ready_after_yield<F: Future + ?Sized>(
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let mut had_its_turn = false;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if had_its_turn => Poll::Ready(None),
        Poll::Pending => {
            had_its_turn = true;
            // The task goes to the end of the queue, behind the tasks that are ready.
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
    async fn a_task_that_ends_in_one_turn_is_ready() {
        let task = tokio::spawn(async { 7 });
        assert!(matches!(ready_after_yield(pin!(task)).await, Some(Ok(7))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_takes_longer_is_not_waited_for() {
        let began = tokio::time::Instant::now();
        let mut task = tokio::spawn(tokio::time::sleep(std::time::Duration::from_secs(1)));
        assert!(ready_after_yield(Pin::new(&mut task)).await.is_none());
        assert!(began.elapsed().is_zero());
        assert!(task.await.is_ok(), "it goes on");
    }
}
