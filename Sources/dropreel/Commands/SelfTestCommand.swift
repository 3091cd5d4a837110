import ArgumentParser
import Bench
import CPUBackend
import CUDABackend
import Foundation
import OperationChecks
import Rules
import Sampling
import SelfTest
import Tensors

struct SelfTestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "selftest",
        abstract: "Prove the engine on this host: every operation, and every reference case within its tolerance.",
        discussion: """
            DIR holds one folder for each kind of case (dit, vae, sampler, ...), each with a cases.json. One line for \
            each case, then "N passed, N failed". A kind or case that is not known fails. --operations compares every \
            operation of the backend with naive arithmetic in double precision. --full-size compares every block of a \
            network of a published model's size, of random weights, with the CPU's float32.
            """)

    @Option(help: "Folder of reference cases; the project's own is Tests/Golden.")
    var reference: String?

    @Flag(help: "Check the operations one by one.")
    var operations = false

    @Option(help: "With --operations: only those whose name begins so (memory, linear, attention, ...).")
    var only = ""

    @Option(help: "Compare every block of a network of this size: 1.3B or 14B.")
    var fullSize: NetworkSize?

    enum NetworkSize: String, CaseIterable, ExpressibleByArgument {
        case t2v13B = "1.3B"
        case t2v14B = "14B"
        var blocks: BlockComparison.Size { self == .t2v13B ? .t2v13B : .t2v14B }
    }

    @Option(help: "With --full-size: blocks of the network; all by default.")
    var layers: Int?

    @Option(help: "With --full-size: frames of 832 x 480, 4n + 1.")
    var frames = 9

    @Flag(help: "With --full-size: the blocks' linear layers in the eight bits that the backend prefers.")
    var quantized = false

    @Option(help: "cpu or cuda; auto means cpu.")
    var backend: ServiceConfiguration.BackendChoice = .auto

    @Option(help: "Number of the GPU.")
    var device = 0

    @Option(help: "Activations on a GPU: bf16, or f32 to compare within the tolerances of float32.")
    var precision: Precision = .bf16

    enum Precision: String, CaseIterable, ExpressibleByArgument {
        case bf16, f32
        var dtype: DType { self == .f32 ? .f32 : .bf16 }
    }

    @Option(help: "Threads of the CPU backend; 0 for all cores.")
    var threads = 0

    @Option(help: "Folder of compiled kernels; the user's cache by default.")
    var kernels: String?

    @Flag(help: "Print only failures and the closing line.")
    var quiet = false

    func validate() throws {
        guard reference != nil || operations || fullSize != nil else {
            throw ValidationError("name --reference DIR, --operations or --full-size")
        }
        if let layers, layers < 1 { throw ValidationError("--layers is at least 1") }
        if frames < 1 || frames > 161 || frames % 4 != 1 { throw ValidationError("--frames is 4n + 1, at most 161") }
    }

    func run() throws {
        let folder = reference.map { URL(fileURLWithPath: $0, isDirectory: true) }
        if let folder, !FileManager.default.fileExists(atPath: folder.path) {
            throw fail(.noInput, "\(folder.relativePath) is not there", hint: "name a folder of reference cases")
        }
        let cache = KernelCache(folder: kernels.map { URL(fileURLWithPath: $0, isDirectory: true) })
        let backend = try EngineFactory.backend(
            backend == .cuda ? .cuda : .cpu, device: device, threads: threads, precision: precision.dtype, cache: cache)
        Console.error("\(backend.name), \(backend.activationType): \(backend.deviceDescription)")
        var (passed, failed) = (0, 0)
        if operations {
            let counts = OperationChecks.run(on: backend, only: only, long: backend.name != "cpu") {
                show($0.description, $0.passed)
            }
            (passed, failed) = (passed + counts.passed, failed + counts.failed)
        }
        if let folder {
            let summary = SelfTest.run(reference: folder, backend: backend) { show($0.description, $0.passed) }
            (passed, failed) = (passed + summary.passed, failed + summary.failed)
        }
        if let fullSize {
            var size = fullSize.blocks
            size.layerCount = min(layers ?? size.layerCount, size.layerCount)
            let geometry = try LatentGeometry(frameCount: frames, size: FrameSize(width: 832, height: 480))
            let judge = CPUBackend(threads: threads > 0 ? threads : nil)
            let counts = try BlockComparison(size, geometry: geometry).run(
                backend, against: judge, precision: quantized ? .int8 : .stored, weights: RandomWeights().tensors
            ) { show($0.description, $0.passed) }
            (passed, failed) = (passed + counts.passed, failed + counts.failed)
        }
        Console.print("\(passed) passed, \(failed) failed")
        if failed > 0 || passed == 0 { throw ExitCode.software }
    }

    private func show(_ line: String, _ passed: Bool) {
        if !quiet || !passed { Console.print(line) }
    }
}

extension ServiceConfiguration.BackendChoice: ExpressibleByArgument {}
