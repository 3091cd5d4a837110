import Foundation

/// The run-time compiler (NVRTC): CUDA C++ to machine code. Needs no GPU.
public final class KernelCompiler: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: function pointers never change; the compiler is safe for threads.
    private typealias Program = OpaquePointer
    private typealias Names = UnsafePointer<UnsafePointer<CChar>?>
    private let library: DynamicLibrary
    private let getVersion: @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Int32
    private let errorString: @convention(c) (Int32) -> UnsafePointer<CChar>?
    private let create:
        @convention(c) (
            UnsafeMutablePointer<Program?>, UnsafePointer<CChar>, UnsafePointer<CChar>, Int32, Names, Names
        ) -> Int32
    private let compile: @convention(c) (Program, Int32, Names) -> Int32
    private let destroy: @convention(c) (UnsafeMutablePointer<Program?>) -> Int32
    private let logSize: @convention(c) (Program, UnsafeMutablePointer<Int>) -> Int32
    private let log: @convention(c) (Program, UnsafeMutablePointer<CChar>) -> Int32
    private let codeSize: @convention(c) (Program, UnsafeMutablePointer<Int>) -> Int32
    private let code: @convention(c) (Program, UnsafeMutablePointer<CChar>) -> Int32

    /// - Parameters:
    ///   - folders: where to look after the loader's own path.
    ///   - first: where to look before.
    /// - Throws: `CUDAError` "missing".
    public init(folders: [String] = CUDAFolders.all, first: [String] = []) throws {
        // The library does not look for its built-in functions beside itself: they are opened before it.
        library = try DynamicLibrary.open(["libnvrtc.so.13", "libnvrtc.so.12"], first: first, in: folders) { folder in
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            for name in names.sorted() where name.hasPrefix("libnvrtc-builtins.so.") {
                if dlopen(folder + "/" + name, RTLD_NOW | RTLD_GLOBAL) != nil { return }
            }
        }
        getVersion = try library.function("nvrtcVersion")
        errorString = try library.function("nvrtcGetErrorString")
        create = try library.function("nvrtcCreateProgram")
        compile = try library.function("nvrtcCompileProgram")
        destroy = try library.function("nvrtcDestroyProgram")
        logSize = try library.function("nvrtcGetProgramLogSize")
        log = try library.function("nvrtcGetProgramLog")
        codeSize = try library.function("nvrtcGetCUBINSize")
        code = try library.function("nvrtcGetCUBIN")
    }

    public var path: String { library.path }

    /// "13.0".
    public var version: String {
        var (major, minor): (Int32, Int32) = (0, 0)
        return getVersion(&major, &minor) == 0 ? "\(major).\(minor)" : "unknown"
    }

    /// Machine code of one source for one architecture ("90a").
    ///
    /// - Parameter headers: what it may include, by name.
    /// - Throws: `CUDAError` "compile" with the compiler's words.
    public func compile(name: String, source: String, headers: [String: String], architecture: String) throws
        -> [UInt8]
    {
        var program: Program?
        let ordered = headers.sorted { $0.key < $1.key }
        let created = withCStrings(ordered.map(\.value)) { texts in
            withCStrings(ordered.map(\.key)) { names in
                create(&program, source, name + ".cu", Int32(ordered.count), texts, names)
            }
        }
        guard created == 0, let compiled = program else { throw failure(created, name, architecture, "") }
        defer { _ = destroy(&program) }
        let options = ["--gpu-architecture=sm_\(architecture)", "--std=c++17", "-default-device"]
        let status = withCStrings(options) { compile(compiled, Int32(options.count), $0) }
        guard status == 0 else {
            let words = text(size: { logSize(compiled, $0) }, fill: { log(compiled, $0) })
            throw failure(status, name, architecture, String(decoding: words.prefix { $0 != 0 }, as: UTF8.self))
        }
        let bytes = text(size: { codeSize(compiled, $0) }, fill: { code(compiled, $0) })
        guard !bytes.isEmpty else { throw failure(0, name, architecture, "no code came out") }
        return bytes
    }

    private func failure(_ status: Int32, _ name: String, _ architecture: String, _ log: String) -> CUDAError {
        let words = errorString(status).map { String(cString: $0) } ?? "error \(status)"
        return CUDAError(
            .compile, "\(name).cu for sm_\(architecture): \(words)\(log.isEmpty ? "" : "\n" + log)",
            hint: "NVRTC \(version) from \(path) may be too old for this GPU")
    }

    private func text(
        size: (UnsafeMutablePointer<Int>) -> Int32, fill: (UnsafeMutablePointer<CChar>) -> Int32
    ) -> [UInt8] {
        var count = 0
        guard size(&count) == 0, count > 0 else { return [] }
        var bytes = [CChar](repeating: 0, count: count)
        return fill(&bytes) == 0 ? bytes.map { UInt8(bitPattern: $0) } : []
    }
}

/// Calls `body` with C strings that live as long as it runs.
private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
) -> Result {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    let pointers = copies.map { UnsafePointer($0) } + [nil]
    return pointers.withUnsafeBufferPointer { body($0.baseAddress.unsafelyUnwrapped) }
}
