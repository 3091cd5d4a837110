import FolderFixtures
import Foundation
import Logging
import Synchronization
import WatchFolder

// `dropreel-fake serve ROOT WORKERS` and `dropreel-fake worker ROOT NAME`: the service over the fake engine, for tests
// that need whole processes to kill.

LoggingSystem.bootstrap { label in
    var handler = StreamLogHandler.standardError(label: label)
    handler.logLevel = ProcessInfo.processInfo.environment["FAKE_LOG"] == nil ? .critical : .debug
    return handler
}

// Whoever starts this from a dispatch thread hands its signal mask on.
var noSignals = sigset_t()
sigemptyset(&noSignals)
sigprocmask(SIG_SETMASK, &noSignals, nil)

let arguments = CommandLine.arguments
let root = URL(fileURLWithPath: arguments[2], isDirectory: true)
let layout = ServiceLayout(
    inbox: root.appendingPathComponent("inbox"), outbox: root.appendingPathComponent("outbox"),
    rules: root.appendingPathComponent("rules"), state: root.appendingPathComponent("state"))

/// Invariant: written once, before the signal handler is set.
nonisolated(unsafe) var wakeService: (@Sendable () -> Void)?
let isStopping = Atomic<Bool>(false)

do {
    switch arguments[1] {
    case "worker":
        let signals = WorkerLoop.becomeChild()
        let loop = WorkerLoop(
            name: arguments[3], ledger: try SQLiteLedger(file: layout.ledgerFile), layout: layout, engine: FakeEngine(),
            signals: signals, policy: ServiceOptions.quick.policy, programVersion: "test", heartbeatInterval: 0.1,
            idleInterval: 0.2)
        try loop.run()
    default:
        var options = ServiceOptions.quick
        if let watcher = ProcessInfo.processInfo.environment["FAKE_WATCHER"] {
            // As the service behaves without a configuration.
            options = ServiceOptions()
            options.watcherExecutable = watcher
        }
        options.heartbeatTimeout = 5
        options.jobTimeout = 2
        if let quiet = ProcessInfo.processInfo.environment["FAKE_QUIET_WITHOUT_LEASE"].flatMap(Double.init) {
            options.quietPeriodWithoutLease = quiet
        }
        let command = WorkerCommand(
            executable: URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path,
            arguments: ["worker", root.path, "{name}"])
        let service = try Service(
            layout: layout, options: options, models: .fake, inspector: FakeInspector(), filmReader: FakeFilmReader(),
            workers: .processes(command, count: Int(arguments[3]) ?? 1), programVersion: "test")
        wakeService = service.waker
        signal(SIGTERM) { _ in
            isStopping.store(true, ordering: .relaxed)
            wakeService?()
        }
        try service.run(stopTimeout: 1) { isStopping.load(ordering: .relaxed) }
    }
} catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(70)
}
