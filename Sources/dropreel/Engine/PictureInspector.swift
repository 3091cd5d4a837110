import Foundation
import Media
import WatchFolder

/// Decodes a picture on trial, in a process of its own, to tell whether it is whole.
struct PictureInspector: ImageInspecting {
    private let decoder: IsolatedImageDecoder

    init(decoder: IsolatedImageDecoder = IsolatedImageDecoder()) { self.decoder = decoder }

    func inspect(_ snapshot: URL) -> ImageVerdict {
        do {
            let size = try decoder.persistently { try $0.size(path: snapshot.path) }
            return .complete(width: size.width, height: size.height)
        } catch let error as MediaError where error.code == .incomplete {
            return .incomplete
        } catch let error as MediaError where error.code == .unavailable {
            return .broken(ServiceError(.interrupted, error.message, hint: error.hint))
        } catch let error as MediaError where error.code != .io {
            return .broken(ServiceError(.badInput, error.message, hint: error.hint))
        } catch {
            return .broken(ServiceError.wrapping(FilmEngine.serviceError(error)))
        }
    }
}

extension IsolatedImageDecoder {
    /// The picture of an order, for its worker.
    /// - Throws: `MediaError`; `ServiceError` of a retryable code when the picture is not to blame.
    func decodeForRendering(_ snapshot: URL) throws -> RGBImage {
        do {
            return try persistently { try $0.decode(path: snapshot.path) }
        } catch let error as MediaError where error.code == .unavailable {
            throw ServiceError(.interrupted, error.message, hint: error.hint)
        }
    }

    /// Tries again, twice, when no process could be started or it was ended from outside: a host short of memory or
    /// processes is often so for a moment only.
    fileprivate func persistently<Result>(_ body: (IsolatedImageDecoder) throws -> Result) throws -> Result {
        for pause in [UInt32(50_000), 250_000] {
            do {
                return try body(self)
            } catch let error as MediaError where error.code == .unavailable {
                usleep(pause)
            }
        }
        return try body(self)
    }
}

/// Reads the `dropreel` key of a film dropped back.
struct FilmReader: FilmMetadataReading {
    func dropreelMetadata(of film: URL) throws -> String? {
        try VideoMetadata.read(path: film.path).dropreel
    }
}
