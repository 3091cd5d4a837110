import Dispatch
import Foundation

/// SIGTERM and SIGINT as a question: has somebody asked to stop?
final class StopSignals: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `asked` is touched under `lock` alone; `sources` only by init.
    private let lock = NSLock()
    private var asked = false
    private var sources: [any DispatchSourceSignal] = []

    /// - Parameter wake: called when a signal comes, so that a waiting loop looks at once.
    init(wake: @escaping @Sendable () -> Void) {
        for number in [SIGTERM, SIGINT] {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { [self] in
                lock.withLock { asked = true }
                wake()
            }
            source.resume()
            sources.append(source)
        }
    }

    var isAsked: Bool { lock.withLock { asked } }

    /// In a child that inherited ignored signals: die of them again.
    static func restoreDefaults() {
        for number in [SIGTERM, SIGINT] { signal(number, SIG_DFL) }
    }
}

/// SIGHUP as a question: has somebody asked to read the configuration again? Each request is answered once.
final class ReloadSignal: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `asked` is touched under `lock` alone; `source` only by init.
    private let lock = NSLock()
    private var asked = false
    private var source: (any DispatchSourceSignal)?

    /// - Parameter wake: called when the signal comes.
    init(wake: @escaping @Sendable () -> Void) {
        signal(SIGHUP, SIG_IGN)
        let made = DispatchSource.makeSignalSource(signal: SIGHUP, queue: .global())
        made.setEventHandler { [self] in
            lock.withLock { asked = true }
            wake()
        }
        made.resume()
        source = made
    }

    func take() -> Bool {
        lock.withLock {
            defer { asked = false }
            return asked
        }
    }
}
