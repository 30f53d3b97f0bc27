use std::sync::Arc;

use super::Config;
use crate::{
    observe::ObserveLayer,
    remap::RemapLayer,
    rescue::RescueLayer,
    serialize::SerializeLayer,
    shield::ShieldLayer,
    upstream::{Again, JudgeLayer, LearnLayer, Lessons, Settle, StripDirectivesLayer},
};

/// Those that are the same however sessions are told apart and whether they are resumed.
#[derive(Debug, Clone)]
pub(super) struct Stages {
    pub(super) strip: StripDirectivesLayer,
    pub(super) observe: ObserveLayer,
    pub(super) remap: RemapLayer,
    pub(super) rescue: RescueLayer,
    pub(super) shield: ShieldLayer,
    pub(super) serialize: SerializeLayer,
    pub(super) learn: LearnLayer,
    pub(super) again: Again,
    pub(super) judge: JudgeLayer,
    pub(super) lessons: Arc<Lessons>,
}

// === impl Stages ===

impl Stages {
    pub(super) fn new(config: Config) -> Self {
        let (retry, judge) = (config.attempts(), config.judge());
        let Config { remap, rescue, shield, serialize, settle, strip_directives, .. } = config;
        let lessons = Arc::new(Lessons::new(rescue, shield, Settle::new(settle)));
        Self {
            strip: StripDirectivesLayer::new(strip_directives),
            observe: ObserveLayer::new(),
            remap: RemapLayer::new(remap),
            rescue: RescueLayer::new(Arc::clone(&lessons)),
            shield: ShieldLayer::new(Arc::clone(&lessons)),
            serialize: SerializeLayer::with(serialize),
            learn: LearnLayer::new(Arc::clone(&lessons)),
            again: Again::new(retry).learning_from(Arc::clone(&lessons)),
            judge: judge.teaching(Arc::clone(&lessons)),
            lessons,
        }
    }

    pub(super) fn beside(&self, config: Config) -> Self {
        let lessons = self.lessons.beside(config.rescue.clone(), config.shield.clone(), config.settle);
        let (again, beside) = (Again::new(config.attempts()), self.learning(config, lessons));
        Self { again: again.learning_from(Arc::clone(&beside.lessons)), ..beside }
    }

    pub(super) fn reconfigured(&self, config: Config) -> Self {
        let lessons = self.lessons.reconfigured(config.rescue.clone(), config.shield.clone(), config.settle);
        self.learning(config, lessons)
    }

    fn learning(&self, config: Config, lessons: Lessons) -> Self {
        let (retry, judge, lessons) = (config.attempts(), config.judge(), Arc::new(lessons));
        let Config { remap, serialize, strip_directives, .. } = config;
        Self {
            strip: StripDirectivesLayer::new(strip_directives),
            observe: self.observe.clone(),
            remap: self.remap.reconfigured(remap),
            rescue: RescueLayer::new(Arc::clone(&lessons)),
            shield: ShieldLayer::new(Arc::clone(&lessons)),
            serialize: self.serialize.reconfigured(serialize),
            learn: self.learn.teaching(Arc::clone(&lessons)),
            again: self.again.reconfigured(retry).learning_from(Arc::clone(&lessons)),
            judge: judge.teaching(Arc::clone(&lessons)),
            lessons,
        }
    }
}
