use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter},
};
use tokio::{
    sync::mpsc::Receiver,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    names,
    queue::{Lost, Queue},
};

/// A hold on the task that exports. When it is dropped, the task exports what it has and ends, and
/// nobody waits for that.
#[derive(Debug)]
#[must_use = "dropping it ends the export"]
pub struct Exporting {
    task: JoinHandle<()>,
    stop: CancellationToken,
    queue: Queue,
}

/// What exports: one batch after the other.
struct Export<E> {
    exporter: E,
    queue: Queue,
    taken: Receiver<SpanData>,
    stop: CancellationToken,
}

/// The most spans of one batch.
const BATCH: usize = 512;

/// How long spans are gathered for one.
const GATHER: Duration = Duration::from_secs(1);

/// How long a batch may take.
const WITHIN: Duration = Duration::from_secs(10);

/// How long it is until a batch that was not taken is tried once more.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The scope of the spans.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(names::SCOPE).with_version(env!("CARGO_PKG_VERSION")).build()
}

/// Who it is that exports: `onelane`, unless the variables `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say more.
fn resource() -> Resource {
    const NAME: &str = "service.name";
    let of_environment = Resource::builder().build();
    let named =
        of_environment.get(&NAME.into()).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    match named {
        true => of_environment,
        false => Resource::builder().with_service_name(names::SCOPE).build(),
    }
}

// === impl Exporting ===

impl Exporting {
    pub(super) fn start(
        mut exporter: impl SpanExporter + 'static,
        queue: Queue,
        taken: Receiver<SpanData>,
        stop: CancellationToken,
    ) -> Self {
        exporter.set_resource(&resource());
        let export = Export { exporter, queue: queue.clone(), taken, stop: stop.clone() };
        Self { task: tokio::spawn(export.run()), stop, queue }
    }

    /// Exports what there is, for this long at the most. What is left then is lost, and so is what comes later.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is dropping [`Exporting`]: the task ends by itself.
    pub async fn finish(mut self, within: Duration) {
        self.stop.cancel();
        if timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
        }
        self.queue.give_up(&"the collector did not take them in time");
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

// === impl Export ===

impl<E: SpanExporter> Export<E> {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.gather(&mut batch).await {
            self.deliver(std::mem::take(&mut batch)).await;
        }
    }

    /// Waits for spans, and then for more; `false` at the end.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) -> bool {
        let Self { taken, stop, .. } = self;
        if !stop.is_cancelled() {
            let some = async {
                taken.recv_many(batch, BATCH).await;
                let more = async {
                    while batch.len() < BATCH && taken.recv_many(batch, BATCH - batch.len()).await > 0 {}
                };
                let _time_is_up = timeout(GATHER, more).await;
            };
            // What it has taken by then is in the batch.
            let _stopped = stop.run_until_cancelled(some).await;
        }
        if stop.is_cancelled() {
            // From here on nothing comes, and this ends once it is empty.
            taken.close();
            while batch.len() < BATCH
                && let Ok(span) = taken.try_recv()
            {
                batch.push(span);
            }
        }
        !batch.is_empty()
    }

    async fn deliver(&self, batch: Vec<SpanData>) {
        let spans = batch.len();
        let why = match self.attempt(batch.clone()).await {
            Ok(()) => return self.queue.exported(spans),
            Err(why) if self.stop.is_cancelled() => why,
            Err(_) => {
                // It may have been about to start anew.
                let _stopped = self.stop.run_until_cancelled(sleep(AGAIN_AFTER)).await;
                match self.attempt(batch).await {
                    Ok(()) => return self.queue.exported(spans),
                    Err(why) => why,
                }
            }
        };
        self.queue.lost(spans, Lost::NotTaken, &why);
    }

    async fn attempt(&self, batch: Vec<SpanData>) -> Result<(), String> {
        match timeout(WITHIN, self.exporter.export(batch)).await {
            Ok(taken) => taken.map_err(|why| why.to_string()),
            Err(_) => Err("the collector does not answer".to_owned()),
        }
    }
}
