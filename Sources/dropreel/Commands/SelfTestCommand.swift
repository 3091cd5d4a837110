import ArgumentParser
import Foundation
import Rules
import SelfTest

struct SelfTestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "selftest",
        abstract: "Prove the engine on this host: run every reference case within its tolerance.",
        discussion: """
            DIR holds one folder for each kind of case (dit, vae, sampler, ...), each with a cases.json. One line for \
            each case, then "N passed, N failed". A kind or case that is not known fails.
            """)

    @Option(help: "Folder of reference cases; the project's own is Tests/Golden.")
    var reference: String

    @Option(help: "cpu, or auto for the best there is.")
    var backend: ServiceConfiguration.BackendChoice = .auto

    @Option(help: "Threads of the CPU backend; 0 for all cores.")
    var threads = 0

    @Flag(help: "Print only failures and the closing line.")
    var quiet = false

    func run() throws {
        let folder = URL(fileURLWithPath: reference, isDirectory: true)
        guard FileManager.default.fileExists(atPath: folder.path) else {
            throw fail(.noInput, "\(reference) is not there", hint: "name a folder of reference cases")
        }
        let summary = SelfTest.run(
            reference: folder, backend: EngineFactory.backend(backend, threads: threads)
        ) { line in
            if !quiet || !line.passed { Console.print(line.description) }
        }
        Console.print(summary.description)
        if summary.failed > 0 || summary.passed == 0 { throw ExitCode.software }
    }
}

extension ServiceConfiguration.BackendChoice: ExpressibleByArgument {}
