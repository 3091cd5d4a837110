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

    @Option(help: "Root folder when there is no configuration file.")
    var root: String?

    func run() throws {
        let signals = WorkerLoop.becomeChild()
        StopSignals.restoreDefaults()
        let configuration = try root.map(ServiceConfiguration.standard(root:)) ?? option.load()
        LogSetup.bootstrap(configuration.log)
        let backend = try EngineFactory.backend(configuration, threads: configuration.threadsPerWorker, proves: false)
        let engine = FilmEngine(
            generator: EngineFactory.generator(configuration, backend), engine: configuration.engine,
            latents: LatentsFolder(
                URL(fileURLWithPath: configuration.folders.state, isDirectory: true).appending(path: "latents")))
        let layout = configuration.layout
        let loop = WorkerLoop(
            name: name, ledger: try SQLiteLedger(file: layout.ledgerFile), layout: layout, engine: engine,
            signals: signals, policy: configuration.attemptPolicy, programVersion: ProgramVersion.current)
        try loop.run()
    }
}
