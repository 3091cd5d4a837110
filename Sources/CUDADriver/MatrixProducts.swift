import Foundation

/// Large matrix products by cuBLASLt: y = x w^T in bf16 with float32 sums, bias and GELU where wanted.
public final class MatrixProducts: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `plans` and their descriptors are guarded by `lock`; the rest never changes.
    private typealias Status = Int32
    private typealias Handle = OpaquePointer

    public enum Epilogue: Hashable, Sendable {
        case none
        /// bf16 `[n]` is added.
        case bias(DeviceAddress)
        case biasThenGELU(DeviceAddress)

        fileprivate var number: Int32 {
            switch self {
            case .none: 1
            case .bias: 4
            case .biasThenGELU: 36
            }
        }
    }

    /// Where the scales of e4m3 rows lie: f32 `[m]` of x, `[n]` of w.
    public struct Scales: Sendable {
        let x: DeviceAddress
        let w: DeviceAddress

        public init(x: DeviceAddress, w: DeviceAddress) { (self.x, self.w) = (x, w) }
    }

    private struct Shape: Hashable {
        let m: Int
        let n: Int
        let k: Int
        let epilogue: Int32
        /// x and w are e4m3 codes with a scale a row.
        let isRows8: Bool
    }

    /// What one shape needs; kept for good.
    private struct Plan {
        let operation: Handle
        let w: Handle
        let x: Handle
        let y: Handle
        /// `cublasLtMatmulAlgo_t`.
        let algorithm: [UInt64]
    }

    private let library: DynamicLibrary
    private let stream: CUDAStream
    private let handle: Handle
    private let workspace: DeviceAddress
    public static let workspaceBytes = 32 << 20
    private let workspaceBytes = MatrixProducts.workspaceBytes
    private let lock = NSLock()
    private var plans: [Shape: Plan?] = [:]

    private let makeOperation: @convention(c) (UnsafeMutablePointer<Handle?>, Int32, Int32) -> Status
    private let setOperation: @convention(c) (Handle, Int32, UnsafeRawPointer, Int) -> Status
    private let makeLayout: @convention(c) (UnsafeMutablePointer<Handle?>, Int32, UInt64, UInt64, Int64) -> Status
    private let makePreference: @convention(c) (UnsafeMutablePointer<Handle?>) -> Status
    private let setPreference: @convention(c) (Handle, Int32, UnsafeRawPointer, Int) -> Status
    private let destroyPreference: @convention(c) (Handle) -> Status
    private let findAlgorithm:
        @convention(c) (
            Handle, Handle, Handle, Handle, Handle, Handle, Handle, Int32, UnsafeMutableRawPointer,
            UnsafeMutablePointer<Int32>
        ) -> Status
    private let multiply:
        @convention(c) (
            Handle, Handle, UnsafeRawPointer, DeviceAddress, Handle, DeviceAddress, Handle, UnsafeRawPointer,
            DeviceAddress, Handle, DeviceAddress, Handle, UnsafeRawPointer, DeviceAddress, Int, Handle
        ) -> Status

    /// - Throws: `CUDAError` "missing" without the library, "outOfMemory" without its workspace.
    public init(stream: CUDAStream, folders: [String] = CUDAFolders.all, first: [String] = []) throws {
        self.stream = stream
        library = try Self.open(folders, first: first)
        makeOperation = try library.function("cublasLtMatmulDescCreate")
        setOperation = try library.function("cublasLtMatmulDescSetAttribute")
        makeLayout = try library.function("cublasLtMatrixLayoutCreate")
        makePreference = try library.function("cublasLtMatmulPreferenceCreate")
        setPreference = try library.function("cublasLtMatmulPreferenceSetAttribute")
        destroyPreference = try library.function("cublasLtMatmulPreferenceDestroy")
        findAlgorithm = try library.function("cublasLtMatmulAlgoGetHeuristic")
        multiply = try library.function("cublasLtMatmul")
        let create: @convention(c) (UnsafeMutablePointer<Handle?>) -> Status = try library.function("cublasLtCreate")
        try stream.enter()
        var handle: Handle?
        guard create(&handle) == 0, let handle else {
            throw CUDAError(.product, "\(library.path) does not start", hint: "it may not suit the driver")
        }
        self.handle = handle
        workspace = try stream.allocate(workspaceBytes)
    }

    deinit { stream.free(workspace, workspaceBytes) }

    private static func open(_ folders: [String], first: [String] = []) throws -> DynamicLibrary {
        try DynamicLibrary.open(["libcublasLt.so.13", "libcublasLt.so.12"], first: first, in: folders)
    }

    /// Where the library is, without starting it.
    /// - Throws: `CUDAError` "missing".
    public static func location(folders: [String] = CUDAFolders.all) throws -> String { try open(folders).path }

    /// y `[m, n]` = epilogue(x `[m, k]` w`[n, k]`^T), or y += x w^T + bias; all bf16, 16-byte aligned. With `scales`, x and w
    /// are e4m3 codes, m values of the first and n of the second.
    ///
    /// The same shape is always computed in the same way.
    /// - Returns: false if the library has no way for this shape; nothing was done then.
    /// - Throws: `CUDAError` "product".
    public func multiply(
        x: DeviceAddress, w: DeviceAddress, into y: DeviceAddress, m: Int, n: Int, k: Int, epilogue: Epilogue,
        accumulates: Bool, scales: Scales? = nil
    ) throws -> Bool {
        try stream.enter()
        return try lock.withLock {
            let shape = Shape(m: m, n: n, k: k, epilogue: epilogue.number, isRows8: scales != nil)
            if plans[shape] == nil { plans[shape] = .some(try plan(shape)) }
            guard let known = plans[shape], let plan = known else { return false }
            switch epilogue {
            case .none: break
            case .bias(var address), .biasThenGELU(var address): try check(setOperation(plan.operation, 8, &address, 8))
            }
            if var scales = scales.map({ ($0.w, $0.x) }) {
                try check(setOperation(plan.operation, 17, &scales.0, 8))
                try check(setOperation(plan.operation, 18, &scales.1, 8))
            }
            var (one, beta): (Float, Float) = (1, accumulates ? 1 : 0)
            try stream.spanning("cuBLASLt \(scales == nil ? "" : "e4m3 ")\(m) x \(k) -> \(n)") {
                try check(
                    multiply(
                        handle, plan.operation, &one, w, plan.w, x, plan.x, &beta, y, plan.y, y, plan.y, plan.algorithm,
                        workspace, workspaceBytes, stream.stream))
            }
            return true
        }
    }

    /// Whether the library multiplies e4m3 codes with a scale a row.
    public var hasRows8: Bool {
        lock.withLock {
            let shape = Shape(m: 4096, n: 1536, k: 1536, epilogue: 1, isRows8: true)
            if plans[shape] == nil { plans[shape] = .some((try? plan(shape)) ?? nil) }
            return (plans[shape] ?? nil) != nil
        }
    }

    /// Row-major matrices are column-major ones transposed: y^T `[n, m]` = w `[n, k]` x^T.
    private func plan(_ shape: Shape) throws -> Plan? {
        var operation: Handle?
        let (float32, bf16, e4m3, compute): (Int32, Int32, Int32, Int32) = (0, 14, 28, 68)
        try check(makeOperation(&operation, compute, float32))
        guard let operation else { return nil }
        var (transposed, number): (Int32, Int32) = (1, shape.epilogue)
        try check(setOperation(operation, 3, &transposed, 4))
        try check(setOperation(operation, 7, &number, 4))
        if shape.isRows8 {
            // Sums may be kept short between products; a scale a row of each operand. Version 12.9 brought those. Where they
            // lie is said with each product, but an algorithm is found only if they lie somewhere.
            var (fast, perRow, address): (Int8, Int32, DeviceAddress) = (1, 3, workspace)
            for status in [
                setOperation(operation, 25, &fast, 1), setOperation(operation, 31, &perRow, 4),
                setOperation(operation, 32, &perRow, 4), setOperation(operation, 17, &address, 8),
                setOperation(operation, 18, &address, 8),
            ] where status != 0 { return nil }
        }
        func layout(_ rows: Int, _ columns: Int, _ type: Int32) throws -> Handle {
            var layout: Handle?
            try check(makeLayout(&layout, type, UInt64(rows), UInt64(columns), Int64(rows)))
            return try layout ?? { throw CUDAError(.product, "no matrix layout", hint: "restart the worker") }()
        }
        let (w, x, y) = (
            try layout(shape.k, shape.n, shape.isRows8 ? e4m3 : bf16),
            try layout(shape.k, shape.m, shape.isRows8 ? e4m3 : bf16), try layout(shape.n, shape.m, bf16)
        )
        var preference: Handle?
        try check(makePreference(&preference))
        guard let preference else { return nil }
        defer { _ = destroyPreference(preference) }
        var bytes = workspaceBytes
        try check(setPreference(preference, 1, &bytes, 8))
        // Operands may begin at any 16 bytes; without this the library assumes 256.
        for attribute: Int32 in 5...8 {
            var alignment: UInt32 = 16
            try check(setPreference(preference, attribute, &alignment, 4))
        }
        // cublasLtMatmulHeuristicResult_t: algorithm (64 bytes), workspace, status, waves, reserved: 96 bytes.
        var result = [UInt64](repeating: 0, count: 12)
        var count: Int32 = 0
        let status = findAlgorithm(handle, operation, w, x, y, y, preference, 1, &result, &count)
        guard status == 0, count > 0, Int32(truncatingIfNeeded: result[9]) == 0 else { return nil }
        return Plan(operation: operation, w: w, x: x, y: y, algorithm: Array(result[0..<8]))
    }

    private func check(_ status: Status) throws {
        guard status != 0 else { return }
        // A GPU that was lost before says so itself.
        try stream.synchronize()
        throw CUDAError(
            .product, "cuBLASLt error \(status)",
            hint: "\(library.path) may not suit the driver \(stream.driver.version)")
    }
}
