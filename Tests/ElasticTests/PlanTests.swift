import CPUBackend
import Foundation
import Media
import Sampling
import Tensors
import TestSupport
import Testing
import TinyModels

@testable import Generation

/// Every plan makes the same film, and takes the memory that it says.
struct PlanTests {
    private let scratch: ScratchFolder
    private let library: ModelLibrary

    init() throws {
        scratch = try ScratchFolder()
        try TinyModel.write(in: scratch.url, layers: 5)
        library = ModelLibrary(directories: [scratch.url])
    }

    private func request(_ mode: GenerationMode, _ precision: LinearPrecision = .stored) throws -> GenerationRequest {
        var request = try library.model(TinyModel.name).request(prompt: "a cat on the moon", mode: mode)
        request.linearPrecision = precision
        (request.frameCount, request.steps, request.boundary) = (5, 2, 0.95)
        if mode == .i2v {
            var random = SplitMix(8)
            let pixels = (0..<20 * 30 * 3).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            request.image = RGBImage(width: 30, height: 20, pixels: pixels)
        }
        return request
    }

    /// All plans from the fastest to the smallest, each with the memory it asks for and no more.
    private func ladder(_ request: GenerationRequest) throws -> [MemoryPlan] {
        var plans: [MemoryPlan] = []
        var limit = Int.max / 4
        while true {
            let generator = Generator(
                library: library, backend: CPUBackend(threads: 1),
                options: Generator.Options(memoryLimit: limit, availableMemory: { nil }))
            guard let plan = try? generator.memoryPlan(request) else { return plans }
            plans.append(plan)
            limit = plan.bytes - 1
        }
    }

    @Test(arguments: GenerationMode.allCases, [LinearPrecision.stored, .int8])
    func everyPlanMakesTheSameFilm(mode: GenerationMode, precision: LinearPrecision) throws {
        let request = try request(mode, precision)
        let plans = try ladder(request)
        #expect(plans.count >= 3 && plans.first?.networks == .resident)
        #expect(mode == .i2v || plans.last?.networks == .streamed)
        var films: Set<String> = []
        for plan in plans {
            let backend = CountingBackend(threads: 2)
            let generator = Generator(
                library: library, backend: backend,
                options: Generator.Options(memoryLimit: plan.bytes, availableMemory: { nil }))
            backend.resetPeak()
            let report = try generator.generate(request, sink: CountingSink()).report
            var made = report.memoryPlan
            made.limitBytes = plan.limitBytes
            #expect(made == plan)
            films.insert(report.framesSha256)
            // Beside tensors and layers the estimate covers what the backend and the job hold on the host.
            #expect(backend.peak <= plan.bytes, "\(plan.text): \(backend.peak) bytes")
            #expect(
                Double(plan.bytes) <= 1.25 * Double(backend.peak), "\(plan.text): \(plan.bytes) for \(backend.peak)")
            generator.unload()
            #expect(backend.usage == 0)
        }
        #expect(films.count == 1)
    }

    /// Whatever is chosen: windows of all sizes, experts that move in block by block, the text encoder from host memory.
    @Test(arguments: GenerationMode.allCases) func whereThingsWaitChangesNoByte(mode: GenerationMode) throws {
        let request = try request(mode)
        let generator = Generator(
            library: library, backend: CPUBackend(threads: 2), options: Generator.Options(availableMemory: { nil }))
        let expected = try generator.generate(request, sink: CountingSink()).report
        var plan = expected.memoryPlan
        plan.textEncoder = .host
        for (networks, window) in [(MemoryPlan.Networks.streamed, 2), (.streamed, 4), (.exchanged, 5)] {
            (plan.networks, plan.windowBlocks) = (networks, window)
            plan.framePixels = window == 4 ? 1 : 4 * 64 * 48
            generator.forcedPlan = plan
            generator.forget()
            let report = try generator.generate(request, sink: CountingSink()).report
            #expect(report.memoryPlan == plan && report.framesSha256 == expected.framesSha256, "\(plan.text)")
        }
    }

    @Test func thePlanIsToldOnceAndReported() throws {
        let lines = Lines()
        let generator = Generator(
            library: library, backend: CPUBackend(threads: 1),
            options: Generator.Options(availableMemory: { 1 << 40 }, log: { lines.add($0) }))
        let report = try generator.generate(request(.t2v), sink: CountingSink()).report
        #expect(lines.all.count == 1 && lines.all[0].hasPrefix("memory plan of Tiny: everything stays on the device"))
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let json = String(decoding: try encoder.encode(report), as: UTF8.self)
        #expect(json.contains(#""memory_plan":{"#) && json.contains(#""networks":"resident""#))
    }
}

/// Lines that somebody logs.
final class Lines: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `lines` is touched under `lock` alone.
    private let lock = NSLock()
    private var lines: [String] = []

    func add(_ line: String) { lock.withLock { lines.append(line) } }
    var all: [String] { lock.withLock { lines } }
}
