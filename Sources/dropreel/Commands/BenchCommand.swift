import ArgumentParser
import Bench
import CPUBackend
import CUDABackend
import CUDADriver
import Foundation
import Generation
import Rules

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure the engine on this host: every row beside the sgemm rate of the same run.",
        discussion: """
            Sections: kernels (single operations), model (a 29.9M transformer and a VAE with random weights), clip (the \
            installed model's standard film), full (Wan2.1-1.3B with random weights; writes 2.8 GB to --scratch). With \
            --gpu instead: Wan2.1-1.3B at 480p, 14B at 480p and 720p, both experts of Wan2.2-I2V-A14B, their VAE and \
            umT5-XXL, and single operations, on a GPU at full size with random weights made in memory; and films of the \
            1.3B model by the service, from a drop on, with weights written to --scratch (14 GB).
            """)

    enum Section: String, CaseIterable, ExpressibleByArgument { case kernels, model, clip, full }

    @Option(name: .long, parsing: .upToNextOption, help: "What to measure: kernels, model, clip, full.")
    var sections: [Section] = [.kernels, .model, .clip]

    @Flag(help: "Measure full-size stages on a GPU.")
    var gpu = false

    @Option(parsing: .upToNextOption, help: "With --gpu, what to measure.")
    var stages: [GPUBenchmark.Stage] = GPUBenchmark.Stage.allCases

    @Option(help: "With --gpu, how often each stage runs; the median counts.")
    var repetitions = 5

    @Flag(help: "With --gpu, tell what each kernel of a stage takes.")
    var profile = false

    @Option(
        parsing: .upToNextOption,
        help: "With --gpu: whole films within so much GPU memory, of the models in --films: 12GiB, 24GiB.")
    var memory: [ByteCount] = []

    @Option(
        parsing: .upToNextOption, help: "With --memory: models and resolutions, 1.3B:480p, 14B:480p, i2v-14B:720p.")
    var films: [MemoryBenchmark.Film] = []

    @Option(help: "With --memory, most host memory for blocks that wait there.")
    var hostMemory: ByteCount?

    @Option(help: "With --memory, steps of each film.")
    var steps = 4

    @Option(help: "With --memory, frames of each film.")
    var frames = 81

    @Flag(inversion: .prefixedNo, help: "With --memory, eight bits in linear layers; else as the card's size asks.")
    var quantized: Bool?

    @Option(help: "Number of the GPU.")
    var device = 0

    @Option(help: "Threads; 0 for all cores.")
    var threads = 0

    @Option(help: "Folder for random weights; removed afterwards.")
    var scratch: String = FileManager.default.temporaryDirectory.path

    @OptionGroup var option: ConfigurationOption

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        if gpu { return try runOnGPU() }
        SgemmYardstick.restartIfCoreIsUnknown()
        let backend = CPUBackend(threads: threads > 0 ? threads : nil)
        let folder = URL(fileURLWithPath: scratch).appending(path: "dropreel-bench-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var kernels = KernelBenchmark(backend: backend)
        var table = sections.contains(.kernels) ? try kernels.run { note($0) } : kernels.table
        let models = ModelBenchmark(backend: backend, folder: folder)
        func add(_ rows: [Bench.Measurement]) {
            for row in rows {
                note(row)
                table.add(row)
            }
        }
        if sections.contains(.model) {
            add(try models.smallTransformer())
            add(try models.decoder())
        }
        if sections.contains(.clip) {
            let library = try option.load().library
            for model in library.models.prefix(1) {
                for mode in model.modes {
                    add(try ClipBenchmark(backend: backend).run(model.standardRequest(mode), library: library))
                }
            }
        }
        if sections.contains(.full) { add(try models.wan13B()) }
        Console.print(json ? String(decoding: try table.json(), as: UTF8.self) : table.text)
        if let peak = HostMemory.peak() { Console.error("peak memory of this run: \(MemoryEstimate.text(peak))") }
    }

    private func runWithinMemory() throws {
        let made = films.isEmpty ? [MemoryBenchmark.Film(kind: .t2v13B, resolution: "480p")] : films
        let cases = memory.flatMap { limit in
            made.map { MemoryBenchmark.Case(kind: $0.kind, resolution: $0.resolution, limit: limit.value) }
        }
        let benchmark = MemoryBenchmark(
            device: device, steps: steps, frames: frames, films: max(1, repetitions), hostLimit: hostMemory?.value)
        let rows = try benchmark.run(
            cases, quantizes: quantized, log: { Console.error($0) }, report: { Console.error($0.text) })
        guard json else { return Console.print(rows.map(\.text).joined(separator: "\n")) }
        try Console.printJSON(rows)
    }

    private func runOnGPU() throws {
        if !memory.isEmpty { return try runWithinMemory() }
        // What needs the GPU's memory for itself goes first.
        var apart: [GPUBenchmark.Row] = []
        if stages.contains(.drop) { apart += try dropRows() }
        if stages.contains(.swap) { apart += try swapRows() }
        let chosen = try EngineFactory.backend(.cuda, device: device, threads: threads)
        guard let backend = chosen as? CUDABackend else { throw ExitCode.unavailable }
        let tell: ((String, [WorkTime]) -> Void)? = profile ? { Self.tell($0, $1) } : nil
        let benchmark = GPUBenchmark(
            backend: backend, repetitions: max(1, repetitions), profile: tell, report: { Console.error($0.text) })
        var table = try benchmark.run(stages)
        table.rows += apart
        if stages.contains(.clip) {
            let library = try option.load().library
            for model in library.models.prefix(1) {
                for mode in model.modes {
                    table.rows += try ClipBenchmark(backend: backend).run(
                        model.standardRequest(mode), library: library, on: backend, films: repetitions, profile: tell
                    ) { Console.error($0.text) }
                }
            }
        }
        guard json else { return Console.print(table.text) }
        try Console.printJSON(table)
    }

    private func dropRows() throws -> [GPUBenchmark.Row] {
        guard let model = try option.load().library.models.first else {
            throw fail(.configuration, "no model is installed whose tokenizer could be used", hint: "install a model")
        }
        let benchmark = DropBenchmark(
            program: ServiceHost.executable, tokenizer: model.url(model.manifest.tokenizer),
            scratch: URL(fileURLWithPath: scratch), device: device, repetitions: repetitions)
        do {
            return try benchmark.run(kernels: KernelCache().folder) { Console.error($0.text) }
        } catch {
            throw fail(.unavailable, "no film by way of a folder: \(error)", hint: "scratch must hold 14 GB")
        }
    }

    /// Both experts in turn on a card that holds one.
    private func swapRows() throws -> [GPUBenchmark.Row] {
        let benchmark = MemoryBenchmark(device: device, films: 2)
        let one = MemoryBenchmark.Case(kind: .i2v14B, resolution: "720p", limit: 30 << 30)
        return try benchmark.run([one]) { Console.error($0.text) }.map(GPUBenchmark.Row.init)
    }

    /// The kernels that together take nine tenths of a stage, and one line for the others.
    private static func tell(_ stage: String, _ times: [WorkTime]) {
        let total = times.reduce(0) { $0 + $1.milliseconds }
        Console.error(String(format: "  %.1f ms in kernels of: ", total) + stage)
        var told = 0.0
        for time in times where told < 0.96 * total {
            told += time.milliseconds
            Console.error(
                String(
                    format: "%12.2f ms %5.1f %% %6d x ", time.milliseconds, 100 * time.milliseconds / total, time.count)
                    + time.name)
        }
    }

    private func note(_ row: Bench.Measurement) {
        Console.error("\(row.section): \(row.name), \(row.shape): \(String(format: "%.4f", row.seconds)) s")
    }
}

extension GPUBenchmark.Stage: ExpressibleByArgument {}

extension MemoryBenchmark.Film: ExpressibleByArgument {
    /// "14B:480p".
    public init?(argument: String) {
        let parts = argument.split(separator: ":").map(String.init)
        guard parts.count == 2, let kind = FullSizeModel.Kind(rawValue: parts[0]) else { return nil }
        self.init(kind: kind, resolution: parts[1])
    }
}

/// A number of bytes on the command line: "12GiB", "512MiB".
struct ByteCount: ExpressibleByArgument {
    let value: Int

    init?(argument: String) {
        let units = ["GiB": 30, "MiB": 20]
        guard let (unit, shift) = units.first(where: { argument.hasSuffix($0.key) }),
            let number = Double(argument.dropLast(unit.count).trimmingCharacters(in: .whitespaces)), number > 0,
            number < 1_048_576
        else { return nil }
        value = Int(number * Double(Int(1) << shift))
    }
}
