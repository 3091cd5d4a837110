import ArgumentParser
import Bench
import CPUBackend
import Foundation

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure the engine on this host: every row beside the sgemm rate of the same run.")

    @Option(help: "Threads; 0 for all cores.")
    var threads = 0

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        SgemmYardstick.restartIfCoreIsUnknown()
        let backend = CPUBackend(threads: threads > 0 ? threads : nil)
        var kernels = KernelBenchmark(backend: backend)
        let table = try kernels.run { Console.error("\($0.section) \($0.name) \($0.shape): \($0.seconds) s") }
        Console.print(json ? String(decoding: try table.json(), as: UTF8.self) : table.text)
    }
}
