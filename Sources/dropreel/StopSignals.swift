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
