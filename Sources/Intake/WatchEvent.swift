/// What the watcher tells: where to look. Scanning is the truth; an event only wakes it.
public enum WatchEvent: Hashable, Sendable {
    /// All folders that existed are watched. Scan everything now: nothing before this was seen.
    case ready(folders: Int)
    /// A file was created, written and closed, or moved in.
    case changed(RelativePath)
    /// A file was deleted or moved away.
    case removed(RelativePath)
    /// A folder appeared (made or moved in) and is watched from now on: scan it, its content raised no events.
    case folderAppeared(RelativePath)
    /// A folder was deleted or moved away.
    case folderRemoved(RelativePath)
    /// The kernel dropped events: scan everything.
    case overflow
    /// A folder could not be watched (usually: the limit of watches is reached): scan regularly.
    case partial(reason: String)
    /// Watching is not possible here or has stopped for good: scan regularly and say so.
    case unavailable(reason: String)
    /// The watcher died and is started again; `ready` follows.
    case restarting(reason: String)
}
