import ArgumentParser
import Foundation
import Generation
import Logging
import Rules
import WatchFolder

/// Everything `serve` and `run` share: the service over the engine's worker processes.
struct ServiceHost {
    let configuration: ServiceConfiguration
    let service: Service

    /// - Throws: `ExitCode` after saying why.
    init(_ option: ConfigurationOption) throws {
        configuration = try option.load()
        LogSetup.bootstrap(configuration.log)
        let library = configuration.library
        let logger = Logger(label: "dropreel")
        for problem in library.problems {
            logger.warning("a model is of no use", metadata: ["problem": "\(problem)"])
        }
        guard !library.models.isEmpty else {
            throw fail(
                .configuration, "no model is installed in \(configuration.models.directories.joined(separator: ", "))",
                hint: "put a model folder with its model.json there, or set models.directories")
        }
        var options = ServiceOptions(configuration)
        options.watcherExecutable = Self.watcher
        if options.watcherExecutable == nil, options.usesWatcher {
            options.usesWatcher = false
            logger.notice("dropreel-watcher is not beside this program: the inbox is looked at regularly instead")
        }
        do {
            service = try Service(
                layout: configuration.layout, options: options, models: configuration.catalogue(library),
                inspector: PictureInspector(), filmReader: FilmReader(),
                workers: .processes(Self.workerCommand(option, configuration), count: configuration.engine.workers),
                programVersion: ProgramVersion.current, utcOffset: TimeZone.current.secondsFromGMT())
        } catch let error as ServiceError {
            let code: ExitCode = error.code == .configuration ? .configuration : .inputOutput
            throw fail(code, error.message, hint: error.hint)
        }
    }

    /// The worker is this program itself.
    private static func workerCommand(
        _ option: ConfigurationOption, _ configuration: ServiceConfiguration
    ) -> WorkerCommand {
        var arguments = ["worker", "--name", "{name}"]
        if let path = option.path {
            arguments += ["--config", path]
        } else {
            arguments += ["--root", configuration.root]
        }
        return WorkerCommand(executable: executable.path, arguments: arguments)
    }

    private static var executable: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    }

    private static var watcher: String? {
        let path = executable.deletingLastPathComponent().appending(path: "dropreel-watcher").path
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }
}

extension ServiceOptions {
    init(_ configuration: ServiceConfiguration) {
        self.init()
        let (intake, jobs) = (configuration.intake, configuration.jobs)
        quietPeriod = intake.quietPeriod
        quietPeriodWithoutLease = intake.quietPeriodWithoutLease
        pairWait = intake.pairWait
        incompleteTimeout = intake.incompleteTimeout
        scanInterval = intake.scanInterval
        pollInterval = intake.pollInterval
        heartbeatTimeout = jobs.heartbeatTimeout
        jobTimeout = jobs.jobTimeout
        minimumFreeBytes = Int64(jobs.minimumFree)
        snapshotBytes = Int64(jobs.snapshots)
        policy = configuration.attemptPolicy
        usesWatcher = intake.watch != .poll
    }
}
