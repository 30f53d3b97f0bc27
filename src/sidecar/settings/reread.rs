use crate::sidecar::Config;

/// The settings of a process that serves, read again for a reload.
pub struct Reread {
    pub(in crate::sidecar) config: Config,
    /// Settings around the sidecar that have changed, and what makes each so.
    pub(in crate::sidecar) live: Vec<(&'static str, Apply)>,
    /// Those of them that have changed and cannot while it serves.
    pub(in crate::sidecar) fixed: Vec<&'static str>,
}

pub(in crate::sidecar) type Apply = Box<dyn FnOnce() + Send>;

// === impl Reread ===

impl Reread {
    /// These settings were read.
    pub fn new(config: Config) -> Self {
        Self { config, live: Vec::new(), fixed: Vec::new() }
    }

    /// A setting that is no part of [`Config`] has changed as well; `apply` puts the change into effect, if
    /// all changes can be.
    #[must_use]
    pub fn changed(mut self, name: &'static str, apply: impl FnOnce() + Send + 'static) -> Self {
        self.live.push((name, Box::new(apply)));
        self
    }

    /// A setting that is no part of [`Config`] has changed, and cannot while the process serves: no setting
    /// will be changed.
    #[must_use]
    pub fn cannot_change(mut self, name: &'static str) -> Self {
        self.fixed.push(name);
        self
    }
}

impl std::fmt::Debug for Reread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reread").field("config", &self.config).finish_non_exhaustive()
    }
}
