import Foundation
import Intake
import Logging
import Rules
import Synchronization

/// Where to look, as the watcher tells; without one, everywhere and often.
final class Watching: Sendable {
    /// What came in since it was last asked.
    struct News {
        /// Folders in which something changed.
        var folders: Set<RelativePath> = []
        /// Folders that are new, with everything below.
        var newFolders: Set<RelativePath> = []
        var needsFullScan = false
    }

    private struct State {
        var news = News()
        /// Why every scan is a full one, if so.
        var pollingReason: String?
        var notice: String?
    }

    private let state = Mutex(State())
    private let watcher: Mutex<Watcher?> = Mutex(nil)

    init(root: SafeRoot, options: ServiceOptions, wake: WakePipe, logger: Logger) throws {
        let kind = root.fileSystem
        guard kind.deliversEvents else {
            state.withLock {
                $0.pollingReason =
                    "The inbox lies on \(kind.name): it is looked through every \(options.pollInterval) s."
            }
            return
        }
        guard options.usesWatcher, let executable = options.watcherExecutable else {
            state.withLock {
                $0.pollingReason =
                    "Watching is switched off: the inbox is looked through every \(options.pollInterval) s."
            }
            return
        }
        let watcher = Watcher(executable: executable, root: root.path) { [weak self] event in
            self?.take(event, logger: logger)
            wake.wake()
        }
        self.watcher.withLock { $0 = watcher }
        watcher.start()
    }

    func take(_ event: WatchEvent, logger: Logger) {
        // Our own texts, litter and temporary names: nothing that a look would find.
        if case .changed(let path) = event, DropName(path.name).kind == .ignored { return }
        state.withLock { state in
            switch event {
            case .ready:
                state.news.needsFullScan = true
                state.pollingReason = nil
            case .changed(let path), .removed(let path): state.news.folders.insert(path.parent)
            case .folderAppeared(let path): state.news.newFolders.insert(path)
            case .folderRemoved(let path): state.news.newFolders.insert(path.parent)
            case .overflow: state.news.needsFullScan = true
            case .partial(let reason): state.pollingReason = "Not every folder can be watched (\(reason))."
            case .unavailable(let reason): state.pollingReason = "The inbox cannot be watched (\(reason))."
            case .restarting(let reason):
                state.pollingReason = "The watcher is started again (\(reason))."
                logger.warning("watcher restarts", metadata: ["reason": "\(reason)"])
            }
        }
    }

    func takeNews() -> News {
        state.withLock { state in
            let news = state.news
            state.news = News()
            return news
        }
    }

    /// Why the inbox is looked through regularly, if so.
    var pollingReason: String? { state.withLock { $0.pollingReason } }

    func stop() { watcher.withLock { $0 }?.stop() }
}
