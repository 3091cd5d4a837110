import ArgumentParser
import Foundation
import Generation
import Logging
import Rules
import WatchFolder

/// What `serve` starts; of no use by hand.
struct Worker: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Claim jobs and make films (started by serve).", shouldDisplay: false)

    @OptionGroup var option: ConfigurationOption

    @Option(help: "Name in the ledger.")
    var name: String

    @Option(help: "Number of the GPU, where the service uses several.")
    var device: Int?

    @Option(help: "Root folder when there is no configuration file.")
    var root: String?

    func run() throws {
        let signals = WorkerLoop.becomeChild()
        StopSignals.restoreDefaults()
        let configuration = try root.map(ServiceConfiguration.standard(root:)) ?? option.load()
        LogSetup.bootstrap(configuration.log)
        var logger = Logger(label: "dropreel.worker")
        if let device { logger[metadataKey: "device"] = "GPU \(device)" }
        var chosen = configuration
        // One of several GPUs stands for itself: without it its worker waits, and the CPU is not put in its place.
        if device != nil { chosen.engine.backend = .cuda }
        let backend = try EngineFactory.backend(
            chosen, device: device, threads: configuration.threadsPerWorker, proves: false)
        let engine = FilmEngine(
            generator: EngineFactory.generator(configuration, backend, log: { [logger] in logger.info("\($0)") }),
            engine: configuration.engine,
            latents: LatentsFolder(
                URL(fileURLWithPath: configuration.folders.state, isDirectory: true).appending(path: "latents")))
        let layout = configuration.layout
        let loop = WorkerLoop(
            name: name, ledger: try SQLiteLedger(file: layout.ledgerFile), layout: layout, engine: engine,
            signals: signals, policy: configuration.attemptPolicy, programVersion: ProgramVersion.current,
            progressTimeout: backend.name == "cpu" ? nil : configuration.engine.gpuTimeout,
            // What hangs in the driver cannot be waited for.
            onStall: { _exit(WorkerLoop.deviceLostStatus) })
        // Nothing of the lost GPU is given back in order: that could hang.
        if try loop.run() == .deviceLost { _exit(WorkerLoop.deviceLostStatus) }
    }
}
