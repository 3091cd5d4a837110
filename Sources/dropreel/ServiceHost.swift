import ArgumentParser
import Foundation
import Generation
import Logging
import Rules
import WatchFolder

/// Everything `serve` and `run` share: the service over the engine's worker processes.
final class ServiceHost {
    private(set) var configuration: ServiceConfiguration
    let service: Service
    private let option: ConfigurationOption
    private let logger: Logger
    private let notices: NoticeBatch
    private var metrics: MetricsServer?

    /// - Throws: `ExitCode` after saying why.
    init(_ option: ConfigurationOption) throws {
        self.option = option
        let configuration = try option.load()
        self.configuration = configuration
        LogSetup.bootstrap(configuration.log)
        // A logger belongs to what is set up when it is made.
        logger = Logger(label: "dropreel")
        let library = configuration.library
        for problem in library.problems {
            logger.warning("a model is of no use", metadata: ["problem": "\(problem)"])
        }
        guard !library.models.isEmpty else {
            throw fail(
                .configuration, "no model is installed in \(configuration.models.directories.joined(separator: ", "))",
                hint: "put a model folder with its model.json there, or set models.directories")
        }
        var options = ServiceOptions(configuration, watcherExecutable: Self.watcher)
        if options.watcherExecutable == nil, options.usesWatcher {
            options.usesWatcher = false
            logger.notice("dropreel-watcher is not beside this program: the inbox is looked at regularly instead")
        }
        do {
            service = try Service(
                layout: configuration.layout, options: options, models: configuration.catalogue(library),
                inspector: InputInspector(), filmReader: FilmReader(),
                workers: Self.workers(option, configuration, logger),
                programVersion: ProgramVersion.current, utcOffset: TimeZone.current.secondsFromGMT())
        } catch let error as ServiceError {
            let code: ExitCode = error.code == .configuration ? .configuration : .inputOutput
            throw fail(code, error.message, hint: error.hint)
        }
        notices = NoticeBatch(configuration.notices)
        if let port = configuration.metrics.port {
            do {
                metrics = try MetricsServer(port: port)
            } catch {
                throw fail(.configuration, "Metrics: \(error).", hint: "Choose another metrics.port.")
            }
        }
        service.onEvent = { [notices] in notices.add($0) }
        service.onStatus = { [unowned self] in report($0) }
    }

    /// Sends what is still to be told; a few seconds at most.
    func finish() {
        notices.finish(within: 5)
        metrics?.stop()
    }

    // MARK: Metrics

    private func report(_ status: ServiceStatus) {
        guard metrics != nil || configuration.metrics.file != nil else { return }
        let text = MetricsText.render(
            status,
            freeBytes: [
                "outbox": Self.freeBytes(configuration.folders.outbox),
                "state": Self.freeBytes(configuration.folders.state),
            ])
        metrics?.publish(text)
        guard let file = configuration.metrics.file else { return }
        do {
            // Readers see the old file or the new one.
            try Data(text.utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
            _ = chmod(file, 0o644)
        } catch {
            logger.warning("metrics cannot be written", metadata: ["file": "\(file)", "error": "\(error)"])
            configuration.metrics.file = nil
        }
    }

    private static func freeBytes(_ path: String) -> Int64 {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return 0 }
        return Int64(clamping: UInt64(status.f_bavail) &* UInt64(status.f_frsize))
    }

    // MARK: Reading the configuration again

    /// Takes over what can change at once; a broken file changes nothing and is told in the log and in STATUS.txt.
    func reload() {
        let new: ServiceConfiguration
        do {
            new = try option.read()
        } catch {
            service.notice = "the configuration is broken, what held before still holds: \(error)"
            logger.error("configuration not taken over", metadata: ["error": "\(error)"])
            return
        }
        service.notice = nil
        let waiting = configuration.needingRestart(comparedTo: new)
        LogSetup.apply(new.log)
        service.reconfigure(ServiceOptions(new, watcherExecutable: nil))
        notices.reconfigure(new.notices)
        configuration = configuration.taking(over: new)
        logger.notice("configuration read again", metadata: waiting.isEmpty ? [:] : ["restart": "\(waiting)"])
        if !waiting.isEmpty {
            service.notice = "a restart is needed for changed settings: \(waiting.joined(separator: ", "))"
        }
    }

    /// One worker for each GPU where several are asked for, else as many as `engine.workers` says.
    ///
    /// GPUs are proven before the first worker asks: workers read what was found here.
    private static func workers(
        _ option: ConfigurationOption, _ configuration: ServiceConfiguration, _ logger: Logger
    ) -> WorkerSupply {
        let count = configuration.engine.workers
        guard let asked = EngineFactory.gpus(configuration) else {
            prove(configuration.engine.device, configuration, logger)
            let usesGPU = configuration.engine.backend != .cpu
            return .processes(
                workerCommand(option, configuration, device: usesGPU ? configuration.engine.device : nil, names: false),
                count: count)
        }
        let usable = asked.filter { prove($0, configuration, logger) }
        if usable.isEmpty {
            logger.warning("none of the GPUs in engine.gpus can be used, films are made on the CPU")
            return .processes(workerCommand(option, configuration, device: nil, names: false), count: count)
        }
        return .fleet(usable.map { workerCommand(option, configuration, device: $0, names: true) })
    }

    /// - Returns: whether the GPU is used.
    @discardableResult
    private static func prove(_ device: Int, _ configuration: ServiceConfiguration, _ logger: Logger) -> Bool {
        if configuration.engine.backend == .cuda { return true }
        guard let proof = EngineFactory.proof(configuration, device: device) else { return false }
        if proof.known == .unknown { logger.notice("proving the operations on GPU \(device), once") }
        switch proof.verdict() {
        case .passed:
            logger.info("films are made on GPU \(device)")
            return true
        case .failed(let reason):
            logger.warning("GPU \(device) is left alone", metadata: ["reason": "\(reason)"])
        case .unknown: break
        }
        return false
    }

    /// The worker is this program itself.
    /// - Parameter names: whether the worker is told its GPU, which must then be there.
    private static func workerCommand(
        _ option: ConfigurationOption, _ configuration: ServiceConfiguration, device: Int?, names: Bool
    ) -> WorkerCommand {
        var arguments = ["worker", "--name", "{name}"]
        if let path = option.path {
            arguments += ["--config", path]
        } else {
            arguments += ["--root", configuration.root]
        }
        if names, let device { arguments += ["--device", "\(device)"] }
        return WorkerCommand(
            executable: executable.path, arguments: arguments, device: device.map { "GPU \($0)" })
    }

    /// This program.
    static var executable: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    }

    private static var watcher: String? {
        let path = executable.deletingLastPathComponent().appending(path: "dropreel-watcher").path
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }
}
