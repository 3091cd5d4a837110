import FolderFixtures
import Foundation
import Logging
import Synchronization

@testable import WatchFolder

/// A service that runs on a thread of its own.
final class RunningService: Sendable {
    let ledger: any Ledger
    private let isStopping: Flag
    private let ended: DispatchSemaphore
    private let wake: @Sendable () -> Void

    private final class Flag: Sendable {
        private let isSet = Atomic<Bool>(false)
        func set() { isSet.store(true, ordering: .relaxed) }
        var value: Bool { isSet.load(ordering: .relaxed) }
    }

    private struct Parts: Sendable {
        var ledger: any Ledger
        var wake: @Sendable () -> Void
    }

    init(layout: ServiceLayout, options: ServiceOptions, workers: WorkerSupply) throws {
        let flag = Flag()
        let (begun, ended) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let parts = Box<Result<Parts, any Error>>()
        let thread = Thread {
            defer { ended.signal() }
            do {
                let service = try Service(
                    layout: layout, options: options, models: .fake, inspector: FakeInspector(),
                    filmReader: FakeFilmReader(), workers: workers, programVersion: "test",
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
                parts.put(.success(Parts(ledger: service.ledger, wake: service.waker)))
                begun.signal()
                try service.run(stopTimeout: 0.5) { flag.value }
            } catch {
                parts.put(.failure(error))
                begun.signal()
            }
        }
        thread.stackSize = 8 << 20
        thread.start()
        begun.wait()
        let begin = try parts.value.get()
        (ledger, wake) = (begin.ledger, begin.wake)
        (isStopping, self.ended) = (flag, ended)
    }

    /// Ends in order; returns when the thread has ended.
    func stop() {
        isStopping.set()
        wake()
        ended.wait()
    }

    /// Filled once by the thread.
    private final class Box<Value: Sendable>: Sendable {
        private let content = Mutex<Value?>(nil)
        func put(_ value: Value) { content.withLock { $0 = $0 ?? value } }
        var value: Value { content.withLock { $0! } }
    }
}
