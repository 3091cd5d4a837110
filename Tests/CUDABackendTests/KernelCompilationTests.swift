import CUDABackend
import CUDADriver
import Foundation
import TestSupport
import Testing

/// Every kernel for every generation of GPU that the backend supports, without one.
@Suite struct KernelCompilationTests {
    static let architectures = ["80", "86", "89", "90a", "100", "120"]

    /// What `scripts/install-packages.sh test` fetched, or what this host has.
    private static let compiler = Result {
        try KernelCompiler(folders: [folder.appending(path: "nvidia/cu13/lib").path] + CUDAFolders.all)
    }
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: ".build/cuda-compiler")

    @Test(arguments: KernelSource.all.map(\.name), architectures)
    func compiles(_ name: String, _ architecture: String) throws {
        let source = try #require(KernelSource.all.first { $0.name == name })
        // Kept from run to run: only what has changed is compiled again.
        let cache = KernelCache(folder: Self.folder.appending(path: "kernels"))
        let code = try cache.code(of: source, architecture: architecture, compiler: Self.compiler.get()).code
        #expect(code.starts(with: [0x7F] + Array("ELF".utf8)))
    }

    @Test func errorsAreTheCompilersOwnWords() throws {
        let error = try #require(throws: CUDAError.self) {
            _ = try Self.compiler.get().compile(
                name: "wrong", source: "extern \"C\" __global__ void f() { g(); }", headers: [:], architecture: "80")
        }
        #expect(error.code == .compile && error.message.contains("wrong.cu(1)") && error.message.contains("\"g\""))
    }

    /// Compiled once; a damaged file is made again.
    @Test func cacheKeepsCode() throws {
        let compiler = try Self.compiler.get()
        let scratch = try ScratchFolder()
        let cache = KernelCache(folder: scratch.url.appending(path: "kernels"))
        let source = try #require(KernelSource.all.first { $0.name == "int8" })
        let made = try cache.code(of: source, architecture: "80", compiler: compiler)
        let kept = try cache.code(of: source, architecture: "80", compiler: compiler)
        #expect(!made.wasKept && kept.wasKept && made.code == kept.code)
        #expect(try cache.code(of: source, architecture: "86", compiler: compiler).wasKept == false)
        let folder = try #require(cache.folder)
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(files.count == 2)
        for file in files {
            var bytes = try Data(contentsOf: file)
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: file)
        }
        let again = try cache.code(of: source, architecture: "80", compiler: compiler)
        #expect(!again.wasKept && again.code == made.code)
    }
}

@Suite struct MissingLibraryTests {
    @Test func compilerTellsWhereItLooked() throws {
        // Where the loader itself finds one, there is nothing to miss.
        do {
            _ = try KernelCompiler(folders: ["/nonexistent/cuda"])
        } catch {
            let error = try #require(error as? CUDAError)
            #expect(error.code == .missing && error.hint.contains("/nonexistent/cuda"))
        }
    }

    @Test func hostWithoutDriverSaysSo() {
        do {
            _ = try CUDABackend(device: 63)
            Issue.record("there is no GPU 63")
        } catch let error as CUDAError {
            #expect([.missing, .noDevice].contains(error.code) && !error.hint.isEmpty)
        } catch {
            Issue.record("\(error)")
        }
    }
}
